"""A connection for many commands at once: which replies belong to what was asked, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from redisproxy.copying.bulk_connection import BulkConnection, BulkProtocol
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.servers.control_connection import ServerSaidNo

TIMEOUT_S = 5.0


class Server:
    """The far end, as the test plays it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.protocol = BulkProtocol()
        self.transport: Any = StringTransport()
        self.protocol.makeConnection(self.transport)
        self.connection = BulkConnection("old", self.protocol, self.clock, TIMEOUT_S)

    def ask(self, *commands: Any) -> list[Any]:
        """What comes of it: a list that gets the result."""
        results: list[Any] = []
        ensureDeferred(self.connection.ask_all(*commands)).addBoth(results.append)
        return results

    def says(self, data: bytes) -> None:
        self.protocol.dataReceived(data)


@pytest.fixture
def server() -> Server:
    return Server()


def error_of(results: list[Any]) -> BaseException:
    (result,) = results
    assert isinstance(result, Failure) and result.value is not None
    return result.value


def test_commands_leave_as_one_write_and_replies_come_back_together(server: Server) -> None:
    results = server.ask(("GET", b"\xff"), ("LRANGE", "list", 0, -1))
    lrange = b"*4\r\n$6\r\nLRANGE\r\n$4\r\nlist\r\n$1\r\n0\r\n$2\r\n-1\r\n"
    assert server.transport.value() == b"*2\r\n$3\r\nGET\r\n$1\r\n\xff\r\n" + lrange
    for byte in b"$1\r\nx\r\n*2\r\n:1\r\n$-1\r\n":
        assert results == []
        server.says(bytes([byte]))
    assert results == [[b"x", [1, None]]]


def test_an_error_of_the_server_is_a_reply(server: Server) -> None:
    results = server.ask(("GET", "a"), ("TYPE", "b"))
    server.says(b"-WRONGTYPE no\r\n+string\r\n")
    refusal, kind = results[0]
    assert isinstance(refusal, ServerSaidNo) and str(refusal) == "old: GET: WRONGTYPE no" and kind == b"string"


def test_several_requests_may_be_under_way(server: Server) -> None:
    first, second, third = (server.ask(*[("GET", "a")] * count) for count in (1, 2, 1))
    server.says(b"$1\r\n1\r\n$1\r\n2\r\n$1\r")
    assert (first, second, third) == ([[b"1"]], [], [])
    server.says(b"\n3\r\n$1\r\n4\r\n")
    assert (second, third) == ([[b"2", b"3"]], [[b"4"]])


def test_a_server_that_does_not_answer_is_left(server: Server) -> None:
    results = server.ask(("GET", "a"))
    server.clock.advance(TIMEOUT_S + 0.1)
    assert isinstance(error_of(results), UplinkUnavailable) and "no answer within 5 s" in str(error_of(results))
    assert server.transport.disconnecting or server.transport.disconnected
    later = server.ask(("GET", "a"))
    assert isinstance(error_of(later), UplinkUnavailable)


@pytest.mark.parametrize("nonsense", [b"hello\r\n", b"$1\r\nx\r\n+more\r\n", b"$-7\r\n"])
def test_nonsense_ends_the_connection(server: Server, nonsense: bytes) -> None:
    first, second = server.ask(("GET", "a")), []
    server.says(nonsense)
    second = server.ask(("GET", "a"))
    assert isinstance(error_of(second), UplinkUnavailable)
    assert first == [[b"x"]] or isinstance(error_of(first), UplinkUnavailable)


def test_a_lost_connection_fails_everything_under_way(server: Server) -> None:
    requests = [server.ask(("GET", "a")) for _ in range(3)]
    server.says(b"$1\r\nx\r\n$5\r\nha")
    server.protocol.connectionLost(Failure(ConnectionError()))
    assert requests[0] == [[b"x"]]
    assert all(isinstance(error_of(each), UplinkUnavailable) for each in requests[1:])


def test_a_request_that_is_cancelled_ends_the_connection(server: Server) -> None:
    results: list[Any] = []
    waiting: Deferred[Any] = ensureDeferred(server.connection.ask_all(("GET", "a")))
    waiting.addBoth(results.append)
    other = server.ask(("GET", "b"))
    waiting.cancel()
    assert isinstance(error_of(results), CancelledError) and isinstance(error_of(other), UplinkUnavailable)
    assert isinstance(error_of(server.ask(("GET", "a"))), UplinkUnavailable)


def test_several_databases_are_asked_at_once(server: Server) -> None:
    results: list[Any] = []
    asked = {0: [("EXISTS", "a"), ("EXISTS", "b")], 3: [("EXISTS", "a")]}
    ensureDeferred(server.connection.ask_in(asked)).addBoth(results.append)
    server.says(b"+OK\r\n:1\r\n:0\r\n+OK\r\n:1\r\n")
    assert results == [{0: [1, 0], 3: [1]}] and server.connection.db == 3


def test_a_database_that_is_not_there_ends_the_connection(server: Server) -> None:
    """Nobody knows which one is selected."""
    results: list[Any] = []
    ensureDeferred(server.connection.ask_in({99: [("EXISTS", "a")]})).addBoth(results.append)
    server.says(b"-ERR DB index is out of range\r\n:1\r\n")
    assert results[0].check(ServerSaidNo) and server.transport.disconnected
