"""Fuzzes loading a configuration: any file gives settings or a L{ConfigError}, and neither shows a secret."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

from redisproxy import config
from redisproxy.net import tls
from tests.fuzz.cutting import Case

SECRET = "correct-horse-battery"
FULL: dict[str, Any] = {
    "uplink": {"addr": "10.0.0.1:6379", "user": "u", "pass": SECRET, "tcp_keepalive": {"idle_s": 10}},
    "listen": [
        {"addr": "127.0.0.1:7010", "pass": SECRET, "users": [{"name": "a", "pass": SECRET}]},
        {"addr": "/tmp/proxy.sock", "network": "unix"},
    ],
    "listen_raw": {"addr": "127.0.0.1:7012"},
    "admin": {"addr": "127.0.0.1:7011", "pass": SECRET},
    "read_time_limit_ms": 5000,
    "idle_timeout_ms": 0,
    "log_messages": False,
    "pubsub": True,
    "allow_commands": ["KEYS"],
    "limits": {"max_clients": 100},
    "pause": {"drain_deadline_ms": 1000},
    "shutdown": {"drain_deadline_ms": 1000},
    "switchover": {"mode": "external"},
}
WATCHED: dict[str, Any] = {
    **FULL,
    "uplink": {
        "sentinels": ["10.0.1.1:26379", "[::1]:26379"],
        "master_name": "mymaster",
        "pass": SECRET,
        "sentinel_user": "u",
        "sentinel_pass": SECRET,
        "sentinel_poll_ms": 500,
    },
}
VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        1.5,
        10**30,
        2**63,
        "",
        "x",
        ":",
        ":1",
        "[::1]:1",
        "[:1",
        "\0",
        "é" * 200,
        "a:99999",
    ),
    *(
        [],
        {},
        [None],
        [[]],
        [{}],
        {"": 1},
        {"addr": 1},
        {"addr": ":7010"},
        "unix",
        "/nowhere",
        "10.0.0.1:6379 ",
        "0:0:0",
    ),
    *("a" * 64, "external", "redis", ["KEYS", 1], [["x"]], {"tls": True}, "1" * 400, "\ud800", "{{", "%s", "<b>"),
]
KEYS = [
    "tls",
    "certfile",
    "pass",
    "passfile",
    "network",
    "sha256",
    "unknown",
    "addr",
    "",
    "server_name",
    "backlog",
    "users",
    "sentinels",
    "sentinel_passfile",
    "sentinel_tls",
]


def check(data: bytes) -> None:
    """Raise when a file made of `data` is not taken or refused in the proper way."""
    case = Case(data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.json")
        path.write_bytes(case.stream if case.choice & 1 else _edited(case.stream))
        _load(path, secret=not case.choice & 1)


def _load(path: Path, secret: bool) -> None:
    try:
        settings = config.load(str(path), tls.faults)
    except config.ConfigError as error:
        assert error.faults and all(fault.strip() for fault in error.faults)
        assert not secret or SECRET not in str(error), "a password in an error"
        return
    assert not config.differences(settings, config.load(str(path), tls.faults))
    assert not config.fixed_differences(settings, settings)
    shown = json.dumps(config.public(settings), default=str) + repr(settings)
    assert not secret or SECRET not in shown, "a password is shown"


def _edited(choices: bytes) -> bytes:
    """One of the full examples with a few values replaced, keys added and keys removed."""
    document = copy.deepcopy(WATCHED if choices[:1] < b"@" else FULL)
    for at in range(0, min(len(choices) - 2, 24), 3):
        where, what, value = choices[at : at + 3]
        _edit(document, where, what, VALUES[value % len(VALUES)])
    return json.dumps(document).encode()


def _edit(document: dict[str, Any], where: int, what: int, value: Any) -> None:
    places = list(_places(document))
    holder, key = places[where % len(places)]
    if what % 4 == 0 and isinstance(holder, dict):
        holder[KEYS[what // 4 % len(KEYS)]] = copy.deepcopy(value)
    elif what % 4 == 1:
        del holder[key]
    elif holder[key] != SECRET or what % 4 == 2:
        holder[key] = copy.deepcopy(value)


def _places(holder: Any) -> Any:
    for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
        yield holder, key
        if isinstance(holder[key], (dict, list)):
            yield from _places(holder[key])
