"""What is legal in a configuration and unwise, and what of it is in force."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from redisproxy import config
from tests.config.loading import load

pytestmark = pytest.mark.one_twin
FAR = datetime(3000, 1, 2, tzinfo=UTC)
ADMIN = {"addr": "127.0.0.1:2"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, None),
        ({"admin": None}, "admin: without it nobody can pause"),
        ({"listen": {"addr": ":1"}}, "listen: whoever reaches :1 may use the Redis server"),
        ({"listen": [{"addr": "127.0.0.1:1"}, {"addr": "10.0.0.1:1"}]}, "listen[1]: whoever reaches"),
        ({"listen": {"addr": ":1", "pass": "x"}}, "listen: passwords cross the network in the clear"),
        ({"listen": {"addr": "[::1]:1"}}, None),
        ({"admin": {"addr": ":2", "allow_open": True}}, "admin: whoever reaches :2 may pause and reload"),
        ({"admin": {"addr": ":2", "pass": "x"}}, "admin: passwords cross"),
        ({"uplink": {"addr": "a:1", "pass": "x"}}, "uplink: the password crosses the network"),
        ({"uplink": {"addr": "/run/redis", "network": "unix", "pass": "x"}}, None),
        ({"uplink": {"addr": "a:1", "tls": True, "skipverify": True}}, "uplink.skipverify: "),
        ({"uplink": {"sentinels": ["a:1", "b:1"], "master_name": "m"}}, "uplink.sentinels: with fewer than three"),
        ({"uplink": {"addr": "a:1", "ping_interval_ms": 0}}, "uplink.ping_interval_ms: "),
        ({"read_time_limit_ms": 0}, "read_time_limit_ms: "),
        ({"log_messages": True}, "log_messages: "),
        ({"pause": {"drain_deadline_ms": 6000}}, "pause.drain_deadline_ms: clients are held for up to 6000 ms"),
        ({"shutdown": {"wait_for_clients_ms": 90000}}, "shutdown: a stop may take longer"),
        ({"switchover": {"pause_budget_ms": 6000}}, "switchover.pause_budget_ms: "),
        ({"switchover": {"replace_data": True}}, "switchover.replace_data: "),
        ({"switchover": {"accept_losses": True}}, "switchover.accept_losses: "),
        ({"switchover": {"writers_behind_proxy": True}}, "switchover.writers_behind_proxy: "),
    ],
)
def test_what_is_unwise_is_told_and_nothing_else(write: Any, changes: dict[str, Any], told: str | None) -> None:
    found = config.advice(load(write(**{"admin": ADMIN, **changes})))
    assert len(found) == (told is not None) and (told is None or found[0].startswith(told)), found


def test_a_certificate_that_is_about_to_expire_is_told(write: Any, certificate: dict[str, str]) -> None:
    listen = {"addr": "127.0.0.1:1", "tls": True, **certificate}
    settings = load(write(listen=listen, admin=ADMIN))
    assert config.advice(settings) == []
    for now, told in (
        (datetime(2999, 12, 25, tzinfo=UTC), "expires at 3000-01-01"),
        (FAR, "has expired at 3000-01-01"),
    ):
        found = config.advice(settings, now)
        assert [line.partition(": ")[0] for line in found] == ["listen.certfile", "listen.cacertfile"]
        assert all(told in line for line in found)


def test_what_differs_from_the_defaults_is_in_force_without_its_secrets(write: Any) -> None:
    settings = load(
        write(
            uplink={"addr": "a:1", "pass": "hush", "tcp_keepalive": {"count": 9}},
            listen=[{"addr": ":1"}, {"addr": ":3", "users": [{"name": "b", "sha256": "0" * 64}]}],
            admin=ADMIN,
            workers=2,
            allow_commands=["monitor"],
        )
    )
    assert config.in_force(settings) == {
        "uplink.addr": "a:1",
        "uplink.pass": "[removed]",
        "uplink.tcp_keepalive.idle_s": 300,
        "uplink.tcp_keepalive.interval_s": 30,
        "uplink.tcp_keepalive.count": 9,
        "listen[0].addr": ":1",
        "listen[1].addr": ":3",
        "listen[1].users.name": "b",
        "listen[1].users.sha256": "[removed]",
        "admin.addr": "127.0.0.1:2",
        "workers": 2,
        "allow_commands": ["MONITOR"],
    }
    everything = config.in_force(settings, everything=True)
    assert everything["uplink.max_pinned"] == 10000 and everything["listen[0].tcp_keepalive.idle_s"] == 300
