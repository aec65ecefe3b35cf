"""What a newcomer gets wrong is answered in words that tell what to write instead."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from redisproxy import config
from tests.config.loading import faults, load

pytestmark = pytest.mark.one_twin

LISTEN = {"addr": ":7010"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty, line 1, column 1"),
        (" \n", "the file is empty, line 2, column 1"),
        ("{", "the file ends too early, line 1, column 2"),
        ("uplink: a", "a value was expected, line 1, column 1"),
        ("{'uplink': 1}", "texts and the names of keys are in double quotes, line 1, column 2"),
        ("{\"a\": 'b'}", "texts and the names of keys are in double quotes, line 1, column 7"),
        ('{"a": [1,]}', "a comma too many before ], line 1, column 10"),
        ('{"a": 1 "b": 2}', "a comma is missing, line 1, column 9"),
        ('{"a" 1}', "a colon is missing, line 1, column 6"),
        ('{"a": True}', "it is written true, line 1, column 7"),
        ('{ # a comment\n"a": 1}', "comments begin with //, line 1, column 3"),
        ("{}\n/* open", "a comment that does not end, line 2, column 1"),
        ("{} {}", "something stands after the end of the object, line 1, column 4"),
    ],
)
def test_what_is_no_json(write: Any, text: str, expected: str) -> None:
    (fault,) = faults(write(text))
    assert fault.endswith(f": not JSON: {expected}")


def test_a_comma_too_many_is_told(write: Any) -> None:
    assert "not JSON: " in faults(write('{"a": 1,}'))[0] and "comma" in faults(write('{"a": 1,}'))[0]


ADDRESS = 'expected host:port, [v6 address]:port, or a path with network "unix"'


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"uplink": "localhost:6379"}, 'uplink: expected an object, such as {"addr": "localhost:1234"}'),
        ({"uplink": {"addr": "localhost"}}, f"uplink.addr: {ADDRESS}; the port is missing"),
        ({"uplink": {"addr": "/run/redis"}}, f'uplink.addr: {ADDRESS}; set "network": "unix" for a path'),
        ({"uplink": {"addr": "::1:6379"}}, f"uplink.addr: {ADDRESS}; an IPv6 address stands in brackets"),
        (
            {"uplink": {"addr": "redis://:hush@host:6379"}},
            f'uplink.addr: {ADDRESS}; no URL: "tls": true has TLS, "user" and "pass" are keys of their own',
        ),
        ({"uplink": {"addr": "${REDIS}:6379"}}, "uplink.addr: this is no host name"),
        ({"uplink": {"addr": 6379}}, "uplink.addr: expected text in double quotes"),
        ({"uplink": {"addr": ""}}, "uplink.addr: it is empty"),
        ({"uplink": {"addr": "a:1", "host": "b"}}, "uplink.host: unknown key, did you mean addr?"),
        ({"uplink": {"addr": "a:1", "ssl": True}}, "uplink.ssl: unknown key, did you mean tls?"),
        ({"uplink": {"addr": "a:1", "tls": "yes"}}, "uplink.tls: expected true or false"),
        ({"uplink": {"addr": "localhost:7010"}}, "uplink.addr: this is where the proxy itself listens (listen)"),
        ({"UPSTREAM": {}}, "UPSTREAM: unknown key, did you mean uplink?"),
        ({"Listen": {}}, "Listen: unknown key, did you mean listen?"),
        ({"listen": {**LISTEN, "pass": 1}}, "listen.pass: expected text in double quotes, or an array of such"),
        ({"listen": {**LISTEN, "pass": ["a", ""]}}, "listen.pass[1]: it is empty"),
        ({"listen": {**LISTEN, "users": {"a": "b"}}}, "listen.users: expected an array"),
        (
            {"listen": {**LISTEN, "users": [{"name": "a", "sha256": "b"}]}},
            "listen.users[0].sha256[0]: expected 64 hex digits",
        ),
        ({"read_time_limit_ms": "5s"}, "read_time_limit_ms: expected a whole number of milliseconds"),
        ({"limits": {"max_script_bytes": 1e9 + 0.5}}, "limits.max_script_bytes: expected a whole number of bytes"),
        ({"limits": {"max_clients": 0}}, "limits.max_clients: it has to be at least 1"),
        ({"limits": {"maxclients": 5}}, "limits.maxclients: unknown key, did you mean max_clients?"),
        ({"pause": {"drain_deadline_ms": 10**9}}, "pause.drain_deadline_ms: it has to be at most 86400000"),
        ({"slowlog": {"threshold": 5}}, "slowlog.threshold: unknown key, did you mean threshold_ms?"),
        ({"uplink": {"addr": "a:1", "sentinel": []}}, "uplink.sentinel: unknown key, did you mean sentinels?"),
        ({"log_level": "WARNING"}, 'log_level: expected "debug", "info", "warn" or "error", did you mean warn?'),
        ({"log_level": "quiet"}, 'log_level: expected "debug", "info", "warn" or "error"'),
        (
            {"allow_commands": ["FOO BAR"]},
            'allow_commands[0]: expected the name of a command, such as "MONITOR" or "CONFIG|SET"',
        ),
        ({"run_directory": "run"}, "run_directory: expected a path that begins with /"),
    ],
    ids=json.dumps,
)
def test_what_is_wrong_in_a_key(write: Any, changes: dict[str, Any], expected: str) -> None:
    found = faults(write({"uplink": {"addr": "a:1"}, "listen": LISTEN, **changes}))
    assert expected in found and "hush" not in "".join(found)


@pytest.mark.parametrize(
    ("secret", "told"), [("$HOME", True), ("${lower case}", True), ("%PASS%", True), ("pa$$", False)]
)
def test_a_password_that_looks_like_a_variable_is_warned_of(write: Any, secret: str, told: bool) -> None:
    settings = load(write({"uplink": {"addr": "a:1", "pass": secret}, "listen": LISTEN}))
    warnings = [text for text in config.advice(settings) if "looks like a variable" in text]
    assert bool(warnings) == told and secret not in "".join(warnings)


def sections() -> dict[str, str]:
    """The first key of each section of the file."""
    document = config.schema()
    named = {key: re.search(r"#/\$defs/(\w+)", json.dumps(value)) for key, value in document["properties"].items()}
    return {key: next(iter(document["$defs"][each[1]]["properties"])) for key, each in named.items() if each}


@pytest.mark.parametrize(("section", "key"), sorted(sections().items()))
def test_a_slip_in_any_section_is_answered_with_the_key_that_was_meant(write: Any, section: str, key: str) -> None:
    found = faults(write({"uplink": {"addr": "a:1"}, "listen": LISTEN, section: {f"{key}x": 1}}))
    assert f"{section}.{key}x: unknown key, did you mean {key}?" in found
