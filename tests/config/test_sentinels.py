"""An uplink that is found through Sentinel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from redisproxy import config
from redisproxy.config import TcpAddress
from tests.config.loading import faults, load

SENTINELS = {"sentinels": ["10.0.1.1:26379", "[::1]:26379", ":26379"], "master_name": "mymaster"}


def test_an_uplink_that_sentinels_know(write: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the sentinels\n")
    path = write(uplink={**SENTINELS, "sentinel_user": "u", "sentinel_passfile": "secret", "pass": "of the servers"})
    uplink = load(path).uplink
    assert [str(each) for each in uplink.sentinel_addresses] == ["10.0.1.1:26379", "[::1]:26379", "localhost:26379"]
    assert str(uplink.address) == "mymaster (found through Sentinel)"
    assert uplink.sentinel_password is not None and uplink.password is not None
    assert uplink.sentinel_password.get_secret_value() == "of the sentinels"
    assert uplink.password.get_secret_value() == "of the servers"


def test_where_the_primary_was_found_is_no_part_of_the_configuration(write: Any) -> None:
    settings = load(write(uplink={**SENTINELS, "sentinel_pass": "hush"}))
    found = settings.with_primary_at(TcpAddress("10.0.0.1", 6379))
    assert str(found.uplink.address) == "10.0.0.1:6379" != str(settings.uplink.address)
    assert config.differences(settings, found) == () and config.public(settings) == config.public(found)
    shown = config.public(found)["uplink"]
    assert shown["sentinels"] == SENTINELS["sentinels"] and shown["sentinel_pass"] == "[removed]"
    assert "hush" not in repr(found)
    other = load(write(uplink={**SENTINELS, "sentinel_pass": "other", "master_name": "b"}))
    assert config.differences(settings, other) == ("uplink.master_name", "uplink.sentinel_pass")


@pytest.mark.parametrize(
    ("uplink", "expected"),
    [
        ({"sentinels": ["a:1"]}, ["uplink.master_name: missing"]),
        ({"master_name": "m"}, ["uplink.sentinels: missing"]),
        ({}, ["uplink.addr: missing"]),
        ({"sentinels": [], "master_name": "m"}, ["uplink.sentinels: there has to be at least one"]),
        ({"sentinels": "a:1", "master_name": "m"}, ["uplink.sentinels: expected an array"]),
        ({"sentinels": [7], "master_name": "m"}, ["uplink.sentinels[0]: expected text in double quotes"]),
        (
            {**SENTINELS, "sentinels": ["a:1", "a", "a:1", "a:0"]},
            [
                "uplink.sentinels[1]: expected host:port, [v6 address]:port; the port is missing",
                "uplink.sentinels[2]: it is there twice",
                "uplink.sentinels[3]: the port must be from 1 to 65535",
            ],
        ),
        ({**SENTINELS, "addr": "a:1"}, ["uplink.addr: give either addr or sentinels"]),
        ({**SENTINELS, "network": "unix"}, ["uplink.network: sentinels tell of TCP addresses"]),
        ({**SENTINELS, "sentinel_user": "u"}, ["uplink.sentinel_user: it needs sentinel_pass or sentinel_passfile"]),
        ({**SENTINELS, "sentinel_tls": True}, ['uplink.sentinel_tls: it needs "tls": true']),
        ({**SENTINELS, "sentinel_poll": 1}, ["uplink.sentinel_poll: unknown key, did you mean sentinel_poll_ms?"]),
        (
            {**SENTINELS, "sentinels": ["127.0.0.1:7010"]},
            ["uplink.sentinels[0]: this is where the proxy itself listens (listen)"],
        ),
        ({"addr": "a:1", "sentinel_pass": "hush"}, ["uplink.sentinel_pass: it needs sentinels"]),
        (
            {"addr": "a:1", "sentinel_user": "u", "sentinel_poll_ms": 5},
            ["uplink.sentinel_user: it needs sentinels", "uplink.sentinel_poll_ms: it needs sentinels"],
        ),
    ],
)
def test_what_does_not_go_with_sentinels(write: Any, uplink: dict[str, Any], expected: list[str]) -> None:
    assert list(faults(write(uplink=uplink))) == expected


def test_a_passfile_for_the_sentinels_is_one_key_with_its_password(write: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush")
    assert faults(write(uplink={"addr": "a:1", "sentinel_passfile": "secret"})) == (
        "uplink.sentinel_passfile: it needs sentinels",
    )
    assert faults(write(uplink={**SENTINELS, "sentinel_passfile": "secret", "sentinel_pass": "x"})) == (
        "uplink.sentinel_passfile: give either sentinel_pass or sentinel_passfile",
    )
    assert "uplink.sentinel_passfile: " in faults(write(uplink={**SENTINELS, "sentinel_passfile": "none"}))[0]


def test_names_for_the_certificates_of_sentinels(write: Any, certificate: dict[str, str]) -> None:
    secure = {**SENTINELS, "tls": True, "cacertfile": certificate["cacertfile"]}
    assert load(write(uplink=secure)).uplink.tls_to_sentinels
    assert not load(write(uplink={**secure, "sentinel_tls": False})).uplink.tls_to_sentinels
    long = "\xfc" * 300
    assert faults(write(uplink={**secure, "sentinel_server_name": long})) == (
        "uplink.sentinel_server_name: this is no host name",
    )
    assert faults(write(uplink={**secure, "sentinels": [f"{long}:1"]})) == ("uplink.sentinels: this is no host name",)
