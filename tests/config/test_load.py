"""A configuration is taken whole, or refused with everything that is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from redisproxy.config import ConfigError, TcpAddress
from tests.config.loading import faults, load

DOCS = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


def test_the_example_is_good() -> None:
    settings = load(str(DOCS.parents[1] / "config_example.json"))
    assert settings.admin is not None and settings.admin.address == TcpAddress("127.0.0.1", 7011)


def test_a_file_of_codility_redis_proxy_works_unchanged(write: Any, certificate: dict[str, str]) -> None:
    own = {"certfile": certificate["certfile"], "keyfile": certificate["keyfile"], "tls": True}
    settings = load(
        write(
            uplink={
                "addr": "localhost:6379",
                "pass": "redis-password",
                "tls": True,
                "cacertfile": certificate["cacertfile"],
                "skipverify": False,
            },
            listen={"addr": "127.0.0.1:7010", "pass": "client-password", **own},
            listen_raw={"addr": "127.0.0.1:7011", **own},
            admin={"addr": "127.0.0.1:7012", **own},
            log_messages=False,
            read_time_limit_ms=5000,
        )
    )
    assert settings.uplink.password is not None and len(settings.listen_raw) == 1 and settings.listen[0].tls


def test_empty_values_mean_not_set_as_there(write: Any) -> None:
    settings = load(
        write(
            listen={"addr": ":7010", "pass": "", "certfile": "", "network": ""},
            listen_raw={"addr": ""},
            admin={"addr": ""},
        )
    )
    assert settings.listen[0].passwords is None and settings.listen[0].address == TcpAddress("", 7010)
    assert settings.listen_raw == () and settings.admin is None


def test_several_listeners(write: Any) -> None:
    settings = load(write(listen=[{"addr": ":1"}, {"addr": ":2"}]))
    assert [each.address for each in settings.listen] == [TcpAddress("", 1), TcpAddress("", 2)]


@pytest.mark.parametrize("workers", [0, 65, "many", 1.5, None])
def test_a_wrong_number_of_workers_is_one_fault(write: Any, workers: object) -> None:
    assert faults(write(workers=workers)) == ('workers: expected a number from 1 to 64, or "auto"',)


def test_all_faults_come_at_once_with_their_paths(write: Any) -> None:
    found = faults(
        write(
            uplink={"addr": "localhost:6379", "tls": "true", "pas": "hush"},
            listen=[{"addr": ":1"}, {"adr": ":2"}],
            read_time_limit_ms=True,
            limits={"max_client": 3, "max_clients": 0},
            colour="blue",
        )
    )
    text = "\n".join(found)
    for part in (
        "uplink.tls: ",
        "uplink.pas: unknown key, did you mean pass?",
        "listen[1].addr: missing",
        "listen[1].adr: unknown key, did you mean addr?",
        "read_time_limit_ms: ",
        "limits.max_client: unknown key, did you mean max_clients?",
        "limits.max_clients: ",
        "colour: unknown key",
    ):
        assert part in text
    assert "hush" not in text


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"uplink": {"addr": "a:1", "tls": True}}, "uplink: tls needs cacertfile"),
        ({"uplink": {"addr": "a:1", "user": "x"}}, "uplink: user needs pass"),
        ({"listen": {"addr": ":1", "tls": True}}, "listen: tls needs certfile and keyfile"),
        ({"listen": {"addr": ":1", "certfile": "/nowhere", "keyfile": "/nowhere"}}, "cannot read /nowhere"),
        ({"listen": {"addr": ":1", "users": [{"name": "a"}]}}, "exactly one of pass, passfile and sha256"),
        ({"listen": {"addr": ":1", "users": [{"name": "a", "sha256": "xyz"}]}}, "users[0].sha256"),
        ({"listen": {"addr": ":1", "users": [{"name": "a", "pass": "x"}, {"name": "a", "pass": "y"}]}}, "there twice"),
        ({"listen": [{"addr": ":1"}, {"addr": ":1"}]}, "is used by listen already"),
        ({"admin": {"addr": "0.0.0.0:1"}}, "admin: anybody who reaches this address"),
        ({"allow_commands": ["debug;"]}, "allow_commands"),
    ],
)
def test_what_does_not_go_together(write: Any, change: dict[str, Any], part: str) -> None:
    assert part in "\n".join(faults(write(**change)))


def test_what_does_not_go_together_is_told_beside_unknown_keys_and_wrong_types(write: Any) -> None:
    found = faults(
        write(
            uplink={"addr": "a b:1", "tls": True, "user": "x", "colour": 1, "max_pinned": "3"},
            listen=[{"addr": ":1", "tls": True, "size": 1}, {"addr": ":2", "certfile": "/nowhere"}],
            admin={"addr": "0.0.0.0:3", "backlog": 0},
        )
    )
    places = {
        "uplink.addr", "uplink", "uplink.colour", "uplink.max_pinned", "listen[0]", "listen[0].size", "listen[1]",
        "listen[1].certfile", "admin", "admin.backlog",
    }  # fmt: skip
    assert {each.partition(": ")[0] for each in found} == places
    assert len(found) == len(set(found)) == len(places) + 1  # two things are wrong with the uplink as a whole


def test_settings_can_not_be_changed(write: Any) -> None:
    settings = load(write())
    with pytest.raises(ValueError, match="frozen"):
        settings.log_messages = True


KEYS = ["uplink", "listen", "listen_raw", "admin", "addr", "network", "tls", "certfile", "pass", "passfile", "users"]
KEYS += ["name", "sha256", "limits", "max_clients", "tcp_keepalive", "allow_commands", "user", "server_name", "x"]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from([":1", "a:1", "unix"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=20,
)


@hypothesis.settings(deadline=None, max_examples=300, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6))
def test_whatever_a_file_holds_the_answer_is_settings_or_faults(write: Any, data: dict[str, Any]) -> None:
    path = write(json.dumps(data))
    try:
        load(path)
    except ConfigError as error:
        assert error.faults and all(": " in each for each in error.faults)
