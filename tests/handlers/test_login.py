"""AUTH and what stands before it."""

from __future__ import annotations

import pytest

from redisproxy.resp import encode_command as cmd
from tests.wire import OK, Wire

GET = cmd("GET", "a")


@pytest.fixture
def wire() -> Wire:
    return Wire(password="secret")


def test_nothing_gets_through_before(wire: Wire) -> None:
    client = wire.client()
    assert client.ask("GET", "a") == b"-NOAUTH Authentication required.\r\n"
    assert not wire.servers


def test_a_wrong_password_is_refused_and_counted(wire: Wire) -> None:
    client = wire.client()
    wrong = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
    assert client.ask("AUTH", "nope") == wrong
    assert client.ask("AUTH", "default", "nope") == wrong
    assert client.ask("AUTH", "someone", "secret") == wrong
    assert wire.metrics.clients.auth_failures_total == 3


def test_the_right_password_lets_in_and_is_never_forwarded(wire: Wire) -> None:
    client = wire.client()
    client.send(cmd("AUTH", "secret") + GET)
    assert client.got() == OK
    assert b"secret" not in wire.server.transport.value()


def test_small_limits_apply_before(wire: Wire) -> None:
    client = wire.client()
    client.send(b"*11\r\n")
    assert client.got() == b"-ERR Protocol error: unauthenticated multibulk length\r\n" and client.closed
    client = wire.client()
    client.send(b"*1\r\n$20000\r\n")
    assert client.got() == b"-ERR Protocol error: unauthenticated bulk length\r\n" and client.closed


def test_reset_logs_out(wire: Wire) -> None:
    client = wire.client()
    client.ask("AUTH", "secret")
    assert client.ask("RESET") == b"+RESET\r\n"
    assert client.ask("GET", "a").startswith(b"-NOAUTH")


def test_auth_without_any_password_set() -> None:
    assert Wire().client().ask("AUTH", "x").startswith(b"-ERR AUTH <password> called without any password configured")
