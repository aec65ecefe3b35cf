"""The section for a fleet: what it needs, and what is wrong with it in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from redisproxy import config
from tests.config.loading import faults, load

SECRET = "sixteen letters!"
BASE = {"uplink": {"addr": "10.0.0.1:6379"}, "listen": {"addr": ":7010"}}
GOOD: dict[str, Any] = {"listen": {"addr": ":7012"}, "peers": ["a:7012", "[::1]:7012"], "secret": SECRET}


def written(tmp_path: Path, fleet: dict[str, Any]) -> str:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**BASE, "fleet": fleet}))
    return str(path)


def test_a_fleet_is_read_and_its_secret_is_not_shown(tmp_path: Path) -> None:
    settings = load(written(tmp_path, GOOD))
    assert settings.fleet is not None and settings.fleet.key == SECRET.encode()
    assert [str(each) for each in settings.fleet.addresses] == ["a:7012", "[::1]:7012"]
    assert SECRET not in repr(settings) and SECRET not in json.dumps(config.public(settings))


def test_the_secret_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    rest = {key: value for key, value in GOOD.items() if key != "secret"}
    settings = load(written(tmp_path, {**rest, "secretfile": "secret"}))
    assert settings.fleet is not None and settings.fleet.key == SECRET.encode()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"secret": None}, "fleet.secret: needed without TLS, so that nobody else can give orders"),
        ({"secret": "short"}, "fleet.secret: at least 16 characters are needed"),
        ({"peers": []}, "fleet.peers: there has to be at least one"),
        ({"peers": ["nowhere"]}, "fleet.peers[0]: expected host:port"),
        ({"peers": [":7012"]}, "fleet.peers[0]: the host is missing"),
        ({"lease_ms": 10}, "fleet.lease_ms: "),
        ({"leas_ms": 1000}, "fleet.leas_ms: unknown key, did you mean lease_ms?"),
        ({"listen": {"addr": ":7012", "backlg": 1}}, "fleet.listen.backlg: unknown key, did you mean backlog?"),
        ({"listen": {"addr": "/run/x", "network": "unix"}}, "fleet.listen.network: peers connect over TCP"),
        ({"listen": {"addr": ":7010"}}, "fleet: the address :7010 is used by listen already"),
        ({"secretfile": "nothing"}, "fleet.secretfile: "),
    ],
)
def test_faults_are_told_in_words(tmp_path: Path, change: dict[str, Any], fault: str) -> None:
    fleet = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    assert any(each.startswith(fault) for each in faults(written(tmp_path, fleet))), faults(written(tmp_path, fleet))


def test_with_tls_both_sides_verify_each_other(tmp_path: Path) -> None:
    listen = {"addr": ":7012", "tls": True, "certfile": "c.pem", "keyfile": "k.pem"}
    told = faults(written(tmp_path, {**GOOD, "listen": listen}))
    assert any("tls needs cacertfile" in each for each in told), told


def test_a_reload_may_change_all_but_where_it_listens(tmp_path: Path) -> None:
    before = load(written(tmp_path, GOOD))
    peers = load(written(tmp_path, {**GOOD, "peers": ["b:7012"], "secret": SECRET[::-1], "lease_ms": 900}))
    assert config.fixed_differences(before, peers) == ()
    moved = load(written(tmp_path, {**GOOD, "listen": {"addr": ":7013"}}))
    assert config.fixed_differences(before, moved) == ("fleet.listen.addr",)
    (tmp_path / "config.json").write_text(json.dumps(BASE))
    assert config.fixed_differences(before, load(str(tmp_path / "config.json"))) == ("fleet",)
