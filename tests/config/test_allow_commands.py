"""What the setting allow_commands takes, and why not the rest."""

from __future__ import annotations

from typing import Any

from tests.config.loading import faults, load


def test_every_name_that_cannot_be_allowed_is_told_with_the_reason(write: Any) -> None:
    names = ["monitor", "config|set", "client", "mod.command", "keys", "readonly", "shutdown", "cluster|meet"]
    assert load(write(allow_commands=names)).allow_commands == {name.upper() for name in names}
    wrong = ["SYNC", "cluster|syncslots", "auth", "client|paused", "SUBSCRIBE", "script|debug", "MONITR", "host:"]
    assert faults(write(allow_commands=[*names, *wrong], listen={"addr": ":1", "x": 1}, switchovr=1)) == (
        "listen.x: unknown key",
        "allow_commands: cannot allow AUTH: the proxy handles it itself",
        "allow_commands: cannot allow CLIENT|PAUSED: the proxy handles it itself, did you mean CLIENT|PAUSE?",
        "allow_commands: cannot allow CLUSTER|SYNCSLOTS: the proxy forwards requests and their replies only, not"
        " replication streams",
        "allow_commands: cannot allow HOST:: it is HTTP, which ends the connection as with Redis",
        "allow_commands: cannot allow MONITR: the proxy forwards what it does not know, did you mean MONITOR?",
        "allow_commands: cannot allow SCRIPT|DEBUG: it turns the connection into one of the script debugger; use it on"
        " the Redis server itself",
        'allow_commands: cannot allow SUBSCRIBE: set "pubsub": true for subscribers',
        "allow_commands: cannot allow SYNC: the proxy forwards requests and their replies only, not replication"
        " streams",
        "switchovr: unknown key, did you mean switchover?",
    )
