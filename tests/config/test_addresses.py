"""Addresses: how they are written, and which of them are the proxy itself."""

from __future__ import annotations

from typing import Any

import pytest

from redisproxy.config import TcpAddress, UnixAddress
from tests.config.loading import faults, load


@pytest.mark.parametrize(
    ("addr", "network", "expected"),
    [
        ("redis.internal:6379", "tcp", TcpAddress("redis.internal", 6379)),
        ("[::1]:6379", "tcp", TcpAddress("::1", 6379)),
        (":6379", "tcp", TcpAddress("localhost", 6379)),
        ("/run/redis.sock", "unix", UnixAddress("/run/redis.sock")),
    ],
)
def test_addresses(write: Any, addr: str, network: str, expected: object) -> None:
    assert load(write(uplink={"addr": addr, "network": network})).uplink.address == expected


@pytest.mark.parametrize("addr", ["localhost", "localhost:", "a:0", "a:65536", "::1:6379", "[x]:1", "[::1]", "a b"])
def test_addresses_that_are_none(write: Any, addr: str) -> None:
    assert faults(write(uplink={"addr": addr}))[0].startswith("uplink.addr: ")


def test_two_addresses_alike_are_told_beside_an_unknown_key(write: Any) -> None:
    found = faults(write(listen={"addr": ":1"}, listen_raw={"addr": ":1"}, colour="blue"))
    assert len(found) == 2 and "is used by listen already" in found[1]


def test_the_proxy_is_not_its_own_uplink(write: Any) -> None:
    assert "where the proxy itself listens" in faults(write(uplink={"addr": "127.0.0.1:7010"}))[0]


def test_where_the_proxy_itself_can_be_reached(write: Any) -> None:
    own = load(write(listen={"addr": ":7010"}, admin={"addr": "/run/admin", "network": "unix"})).own_addresses
    assert {TcpAddress("127.0.0.1", 7010), TcpAddress("localhost", 7010), UnixAddress("/run/admin")} < own


def test_where_clients_are_to_go_is_a_host_and_a_port(write: Any) -> None:
    def told(to: str) -> tuple[str, ...]:
        return faults(write(shutdown={"notice_ms": 1000, "moving_to": to}))

    assert told(":6379") == ("shutdown.moving_to: a host is needed, so that clients know where to go",)
    assert told("nowhere") == (
        'shutdown.moving_to: expected host:port, [v6 address]:port, or a path with network "unix"; the port is missing',
    )
    assert load(write(shutdown={"notice_ms": 1000, "moving_to": "there:6379"})).shutdown.moving_to == "there:6379"
