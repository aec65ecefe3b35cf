"""Many commands at once: replies are counted off, and whatever ends a connection ends all that is under way."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from redisproxy.copying.bulk_connection import BulkConnection, BulkProtocol
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.servers.control_connection import ServerSaidNo


def connection() -> tuple[BulkConnection, BulkProtocol, StringTransport, Clock]:
    protocol, transport, clock = BulkProtocol(), StringTransport(), Clock()
    protocol.makeConnection(transport)
    return BulkConnection("the old server", protocol, clock, 5), protocol, transport, clock


def failed_with(deferred: Deferred[Any]) -> Any:
    found: list[Any] = []
    deferred.addErrback(found.append)
    return found[0].value if found else None


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_several_requests_are_under_way_and_get_their_own_replies(step: int) -> None:
    made, protocol, _, _ = connection()
    first, second = made.exchange(b"ab", 2), made.exchange(b"c", 1)
    data = b"+OK\r\n$3\r\nx\r\n\r\n:7\r\n"
    for at in range(0, len(data), step):
        protocol.dataReceived(data[at : at + step])
    assert (first.result, second.result) == (b"+OK\r\n$3\r\nx\r\n\r\n", b":7\r\n")


def test_an_error_is_one_of_the_replies() -> None:
    made, protocol, _, _ = connection()
    asked: Any = ensureDeferred(made.ask_all(("GET", "a"), ("NO",)))
    protocol.dataReceived(b"$-1\r\n-ERR unknown command\r\n")
    value, error = asked.result
    assert value is None and isinstance(error, ServerSaidNo) and "the old server: NO: unknown command" in str(error)


def test_without_an_answer_in_time_everything_fails() -> None:
    made, _, transport, clock = connection()
    first, second = made.exchange(b"a", 1), made.exchange(b"b", 1)
    clock.advance(5)
    errors = [failed_with(first), failed_with(second)]
    assert all(isinstance(error, UplinkUnavailable) for error in errors) and "within 5 s" in str(errors[0])
    assert transport.disconnecting or transport.disconnected
    assert isinstance(failed_with(made.exchange(b"c", 1)), UplinkUnavailable)


@pytest.mark.parametrize("data", [b"+OK\r\n+OK\r\n", b"hello\r\n"])
def test_more_than_was_asked_for_and_nonsense_end_the_connection(data: bytes) -> None:
    made, protocol, transport, _ = connection()
    asked = made.exchange(b"a", 1)
    asked.addErrback(lambda _: None)
    protocol.dataReceived(data)
    assert transport.disconnecting or transport.disconnected
    assert isinstance(failed_with(made.exchange(b"b", 1)), UplinkUnavailable)


def test_a_request_that_nobody_waits_for_any_more_ends_the_connection() -> None:
    made, _, transport, _ = connection()
    asked = made.exchange(b"a", 1)
    asked.cancel()
    asked.addErrback(lambda _: None)
    assert transport.disconnecting or transport.disconnected


def test_a_database_is_selected_once() -> None:
    made, protocol, transport, _ = connection()
    selecting = ensureDeferred(made.select(3))
    protocol.dataReceived(b"+OK\r\n")
    assert selecting.called and b"SELECT" in transport.value()
    transport.clear()
    assert ensureDeferred(made.select(3)).called and transport.value() == b""
