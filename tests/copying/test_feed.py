"""What the old server tells of changes becomes names, in whichever pieces it arrives."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport

from redisproxy.copying.changes import Changes
from redisproxy.copying.feed import MAX_MESSAGE_BYTES, FeedProtocol
from redisproxy.copying.messages import Invalidations, Notifications
from redisproxy.net.errors import UplinkUnavailable

TOLD = b">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$3\r\nb\r\n\r\n"


def feed() -> tuple[FeedProtocol, Changes, StringTransport]:
    changes, transport = Changes(), StringTransport()
    protocol = FeedProtocol(changes, Invalidations())
    protocol.makeConnection(transport)
    return protocol, changes, transport


def failed_with(deferred: Deferred[Any]) -> Any:
    found: list[Any] = []
    deferred.addErrback(found.append)
    return found[0].value if found else None


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_names_are_taken_in_whichever_pieces_they_come(step: int) -> None:
    protocol, changes, _ = feed()
    answer = protocol.ask("PING")
    data = TOLD + b"+PONG\r\n" + TOLD
    for at in range(0, len(data), step):
        protocol.dataReceived(data[at : at + step])
    assert changes.take(9) == [b"a", b"b\r\n"[:3]] and answer.result == b"PONG"


def test_null_means_that_databases_were_emptied() -> None:
    protocol, changes, _ = feed()
    protocol.dataReceived(b">2\r\n$10\r\ninvalidate\r\n_\r\n")
    assert changes.flushed and not changes.everything


def test_answers_belong_to_questions_in_their_order() -> None:
    protocol, _, transport = feed()
    first, second = protocol.ask("PING"), protocol.ask("PING", "x")
    assert transport.value().count(b"PING") == 2
    protocol.dataReceived(b"+PONG\r\n" + TOLD + b"$1\r\nx\r\n")
    assert (first.result, second.result) == (b"PONG", b"x")


@pytest.mark.parametrize("nonsense", [b"hello\r\n", b">2\r\n$99999999999999999999\r\n"])
def test_nonsense_ends_the_feed(nonsense: bytes) -> None:
    protocol, _, _ = feed()
    answer = protocol.ask("PING")
    protocol.dataReceived(nonsense)
    assert protocol.ended and isinstance(failed_with(answer), UplinkUnavailable)
    assert isinstance(failed_with(protocol.ask("PING")), UplinkUnavailable)


def test_a_message_without_end_ends_the_feed() -> None:
    protocol, _, _ = feed()
    protocol.dataReceived(b">2\r\n$10\r\ninvalidate\r\n*1\r\n$%d\r\n" % (MAX_MESSAGE_BYTES * 2))
    for _ in range(70):
        protocol.dataReceived(b"x" * 1_000_000)
    assert protocol.ended


def test_messages_that_are_no_changes_are_passed_over() -> None:
    protocol, changes, _ = feed()
    protocol.dataReceived(b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n:5\r\n")
    assert changes.none and not protocol.ended


def event(channel: bytes, key: bytes) -> bytes:
    head = b">4\r\n$8\r\npmessage\r\n$16\r\n__keyevent@*__:*\r\n"
    return head + b"$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(channel), channel, len(key), key)


ODD = (b"", b"\r\n", event(b"__keyevent@0__:set", b"no key"), b">4\r\n$8\r\npmessage\r\n$16\r\n__keyevent@*__:*\r\n")


@pytest.mark.parametrize("step", [1, 7, 100, 333, 100_000])
def test_notifications_are_told_apart_from_replies_in_whichever_pieces_they_come(step: int) -> None:
    changes, transport = Changes(), StringTransport()
    protocol = FeedProtocol(changes, Notifications())
    protocol.makeConnection(transport)
    subscribed, answered = protocol.ask("PSUBSCRIBE", "p"), protocol.ask("PING")
    data = b">3\r\n$10\r\npsubscribe\r\n$1\r\np\r\n:1\r\n" + event(b"__keyevent@0__:set", b"a") * 20
    data += event(b"__keyevent@0__:keymiss", b"missed") * 3 + b"+PONG\r\n" + event(b"__keyevent@11__:del", b"b") * 20
    data += b"".join(event(b"__keyevent@0__:set", key) for key in ODD) + event(b"__keyevent@0__:set", b"last")
    for at in range(0, len(data), step):
        protocol.dataReceived(data[at : at + step])
    assert subscribed.result == [b"psubscribe", b"p", 1] and answered.result == b"PONG"
    assert not protocol.ended and set(changes.take(99)) == {b"a", b"b", *ODD, b"last"}
