"""Subscribers in memory: what reaches a client that has switched replies off, and what stays on its connection."""

from __future__ import annotations

import pytest

from redisproxy.client.message_stream import NAME_BYTES
from redisproxy.commands.lookup import CommandTable
from redisproxy.handlers import pubsub
from redisproxy.handlers.subscription import MAX_HELD_BYTES
from redisproxy.resp import encode_command as cmd
from redisproxy.shared.subscription_changes import LIMIT_S
from tests.handlers.moving import Move
from tests.wire import OK, Client, Server, Wire

CONFIRMED = b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
ENDED = b">3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n"
PUBLISH = cmd("PUBLISH", "a", "x")
MESSAGE = b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.core.table = CommandTable(pubsub=True)
    return wire


@pytest.fixture(params=[2, 3])
def version(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture
def client(wire: Wire, version: int) -> Client:
    client = wire.client()
    client.ask("HELLO", version)
    return client


def pushed(data: bytes, version: int) -> bytes:
    """A push as this RESP version writes it."""
    return data if version == 3 else data.replace(b">", b"*")


def subscribe(client: Client, version: int) -> None:
    client.ask("SUBSCRIBE", "a")
    client.wire.server.send(pushed(CONFIRMED, version))
    assert client.got() == pushed(CONFIRMED, version)


def test_names_are_kept_within_a_bound(
    wire: Wire, client: Client, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pubsub, "MAX_NAMES_BYTES", 2 * (NAME_BYTES + len("a")))
    refused = b"-ERR redisproxy remembers no more than"
    assert client.ask("PSUBSCRIBE", "a", "b", "c").startswith(refused) and not client.inside.route.pinned
    subscribe(client, version)
    subscribe(client, version)
    assert client.ask("SSUBSCRIBE", "a", "b").startswith(refused)
    client.send(cmd("SUBSCRIBE", "b"))
    wire.server.send(pushed(CONFIRMED.replace(b"$1\r\na", b"$1\r\nb"), version))
    client.got()
    wire.server.got()
    assert client.ask("SUBSCRIBE", "c").startswith(refused) and wire.server.got() == b""
    client.send(cmd("UNSUBSCRIBE", "a"))
    wire.server.send(pushed(ENDED.replace(b":0", b":1"), version))
    client.got()
    assert client.ask("SUBSCRIBE", "c") == b"" and wire.server.got().endswith(cmd("SUBSCRIBE", "c"))


def test_the_answer_to_a_kill_comes_not_into_a_message(wire: Wire) -> None:
    client = wire.client()
    client.ask("HELLO", 3)
    subscribe(client, 3)
    messages = wire.server
    client.send(cmd("SCRIPT", "KILL") + cmd("ECHO", "e"))
    size = 2 * MAX_HELD_BYTES
    message = MESSAGE.replace(b"$1\r\nx", b"$%d\r\n" % size + b"x" * size)
    messages.send(message[: size - 10])
    wire.server.send(OK)
    messages.send(message[size - 10 :] + b"$1\r\ne\r\n")
    assert client.got() == message + OK + b"$1\r\ne\r\n"


@pytest.mark.parametrize("how", ["OFF", "SKIP"])
def test_confirmations_and_messages_reach_a_client_without_replies(client: Client, version: int, how: str) -> None:
    client.ask("CLIENT", "REPLY", how)
    subscribe(client, version)
    client.wire.server.send(pushed(MESSAGE, version)[:9])
    client.wire.server.send(pushed(MESSAGE, version)[9:])
    assert client.got() == pushed(MESSAGE, version)
    client.ask("PING")
    client.wire.server.send(b"+PONG\r\n")
    assert client.got() == (b"+PONG\r\n" if how == "SKIP" else b"")
    client.ask("UNSUBSCRIBE", "a")
    client.wire.server.send(pushed(ENDED, version))
    assert client.got() == pushed(ENDED, version)


def test_an_error_instead_of_confirmations_is_a_reply_like_others(wire: Wire, client: Client, version: int) -> None:
    client.ask("CLIENT", "REPLY", "OFF")
    client.ask("SUBSCRIBE", "a", "b", "c")
    wire.server.send(b"-NOPERM no")
    wire.server.send(b"\r\n")
    assert client.got() == b"" and not wire.gate.in_flight and not client.inside.lane.pending
    assert client.ask("CLIENT", "REPLY", "ON") == OK
    client.ask("SUBSCRIBE", "a", "b")
    wire.server.send(b"-NOPERM no\r\n")
    assert client.got() == b"-NOPERM no\r\n" and not wire.gate.in_flight and not client.inside.session.subscribed


def test_unsubscribing_from_nothing_needs_no_server(wire: Wire, client: Client, version: int) -> None:
    null = b"_" if version == 3 else b"$-1"
    before = len(wire.servers)
    wire.refuse_connections = True
    assert client.ask("UNSUBSCRIBE") == pushed(b">3\r\n$11\r\nunsubscribe\r\n" + null + b"\r\n:0\r\n", version)
    assert client.ask("PUNSUBSCRIBE", "x") == pushed(b">3\r\n$12\r\npunsubscribe\r\n$1\r\nx\r\n:0\r\n", version)
    assert len(wire.servers) == before and not client.inside.session.bound


def test_an_old_server_says_itself_that_it_knows_no_shards(wire: Wire, client: Client) -> None:
    client.ask("GET", "a")
    wire.server.send(b":0\r\n")
    wire.server.got()
    wire.core.uplinks.server[b"version"] = b"6.2.14"
    client.send(cmd("SUNSUBSCRIBE"))
    assert wire.server.got() == cmd("SUNSUBSCRIBE") and not client.inside.route.pinned


def test_a_watch_survives_the_end_of_a_subscription(wire: Wire, client: Client, version: int) -> None:
    client.ask("WATCH", "k")
    wire.server.send(OK)
    assert client.got() == OK
    pinned = wire.server
    assert client.ask("UNSUBSCRIBE", "a") == pushed(ENDED, version)
    client.ask("SUBSCRIBE", "a")
    pinned.send(pushed(CONFIRMED, version))
    client.ask("UNSUBSCRIBE")
    pinned.send(pushed(ENDED, version))
    client.got()
    pinned.got()
    client.send(cmd("MULTI"))
    assert pinned.got() == cmd("MULTI")
    pinned.send(OK)
    client.send(cmd("EXEC"))
    pinned.send(b"*0\r\n")
    assert client.got() == OK + b"*0\r\n" and not pinned.closed


def test_a_connection_without_subscriptions_is_used_again(wire: Wire, client: Client, version: int) -> None:
    subscribe(client, version)
    pinned = wire.server
    client.ask("UNSUBSCRIBE")
    pinned.send(pushed(ENDED, version))
    client.got()
    assert not client.inside.route.pinned
    client.ask("BLPOP", "l", 0)
    assert pinned.got().endswith(cmd("BLPOP", "l", 0))
    answer = b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n"
    pinned.send(answer)
    assert client.got() == answer and not wire.gate.in_flight


def test_a_connection_that_was_not_read_is_read_again_when_it_is_given_back(
    wire: Wire, client: Client, version: int
) -> None:
    subscribe(client, version)
    pinned = wire.server
    client.ask("UNSUBSCRIBE")
    client.inside.slow_reader.pauseProducing()
    assert pinned.transport.paused
    pinned.send(pushed(ENDED, version))
    assert not pinned.transport.paused


def test_a_reply_that_looks_like_a_message_is_a_reply_in_resp3(wire: Wire) -> None:
    client = wire.client()
    client.ask("HELLO", 3)
    subscribe(client, 3)
    for word in (b"message", b"subscribe"):
        client.ask("LRANGE", "l", 0, -1)
        answer = b"*3\r\n$%d\r\n%s\r\n$1\r\na\r\n:1\r\n" % (len(word), word)
        wire.server.send(answer[:8])
        assert client.got() == answer[:8]
        wire.server.send(answer[8:])
        assert client.got() == answer[8:] and not wire.gate.in_flight
    assert list(client.inside.route.stream.names[b""]) == [b"a"]  # type: ignore[union-attr]


def test_a_watch_beside_subscriptions_is_lost_when_they_move(wire: Wire, client: Client, version: int) -> None:
    client.ask("WATCH", "k")
    wire.server.send(OK)
    client.got()
    subscribe(client, version)
    old = wire.server
    moving = Move(wire)
    new = moving.open()
    copying = moving.copy()
    new.send(pushed(CONFIRMED, version))
    old.send(b"+PONG\r\n")
    assert copying.called and new is not old
    moving.swap()
    wire.unpause()
    assert client.inside.session.watch_lost and client.inside.route.stream
    wire.server.send(pushed(MESSAGE, version))
    assert client.got() == pushed(MESSAGE, version)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("CLIENT ID", b"ERR Can't execute 'client|id'"),
        ("CLIENT FOO", b"ERR unknown subcommand 'FOO'"),
        ("AUTH", b"ERR wrong number of arguments for 'auth'"),
        ("EXEC", b"EXECABORT Transaction discarded because of: Can't execute 'exec'"),
        ("SHUTDOWN", b"ERR Can't execute 'shutdown'"),
        ("MULTI", b"ERR Can't execute 'multi'"),
    ],
)
def test_a_resp2_subscriber_is_refused_in_redis_words(wire: Wire, command: str, words: bytes) -> None:
    client = wire.client()
    subscribe(client, 2)
    wire.server.got()
    assert client.ask(*command.split()).startswith(b"-" + words) and wire.server.got() == b""


@pytest.mark.parametrize("command", ["GET", "SCRIPT LOAD", "EVAL x", "SCAN", "BLPOP l", "SCRIPT KILL"])
def test_plain_commands_of_a_resp2_subscriber_are_refused_by_the_server(wire: Wire, command: str) -> None:
    client = wire.client()
    subscribe(client, 2)
    wire.server.got()
    client.send(cmd(*command.split()))
    assert wire.server.got() == cmd(*command.split())
    wire.server.send(b"-ERR wrong number of arguments for 'get' command\r\n")
    assert client.got() == b"-ERR wrong number of arguments for 'get' command\r\n" and not wire.gate.in_flight


def test_a_script_kill_of_a_resp2_subscriber_does_not_pass_a_closed_gate(wire: Wire) -> None:
    client = wire.client()
    subscribe(client, 2)
    wire.server.got()
    wire.pause()
    client.send(cmd("SCRIPT", "KILL"))
    assert wire.server.got() == b"" and not wire.gate.in_flight
    wire.unpause()
    assert wire.server.got() == cmd("SCRIPT", "KILL")


def test_a_skip_behind_a_skip_is_no_end_of_all_replies(wire: Wire) -> None:
    client = wire.client()
    client.ask("CLIENT", "REPLY", "SKIP")
    client.ask("CLIENT", "REPLY", "SKIP")
    assert client.ask("CLIENT", "ID") == b""
    assert client.ask("CLIENT", "ID") == b":1\r\n"


def test_reset_answers_when_replies_are_off_and_not_behind_a_skip(wire: Wire) -> None:
    client = wire.client()
    client.ask("CLIENT", "REPLY", "OFF")
    assert client.ask("RESET") == b"+RESET\r\n"
    client.ask("CLIENT", "REPLY", "SKIP")
    assert client.ask("RESET") == b"" and client.ask("CLIENT", "ID") == b":1\r\n"


def test_clients_are_listed_and_killed_by_whether_they_subscribe(wire: Wire, version: int) -> None:
    client, other = wire.client(), wire.client()
    subscribe(client, version)
    assert b"id=1 " in other.ask("CLIENT", "LIST", "TYPE", "pubsub")
    assert b"id=1 " not in other.ask("CLIENT", "LIST", "TYPE", "normal")
    assert other.ask("CLIENT", "KILL", "TYPE", "normal") == b":0\r\n" and not client.closed
    assert other.ask("CLIENT", "KILL", "TYPE", "pubsub") == b":1\r\n" and client.closed


class TestPublishersWaitForChangesThatCameBefore:
    def subscriber(self, wire: Wire) -> tuple[Client, Server]:
        client = wire.client()
        client.send(cmd("SUBSCRIBE", "a"))
        server = wire.server
        server.send(pushed(CONFIRMED, 2))
        client.got()
        server.got()
        return client, server

    def publisher(self, wire: Wire) -> tuple[Client, Server]:
        client = wire.client()
        client.send(PUBLISH)
        server = wire.server
        server.send(b":1\r\n")
        client.got()
        server.got()
        return client, server

    def test_until_it_is_confirmed(self, wire: Wire) -> None:
        subscriber, own = self.subscriber(wire)
        publisher, shared = self.publisher(wire)
        subscriber.send(cmd("UNSUBSCRIBE", "a"))
        publisher.send(PUBLISH + PUBLISH + cmd("GET", "a"))
        assert shared.got() == b"" and publisher.transport.paused
        own.send(pushed(ENDED, 2))
        assert shared.got() == PUBLISH + PUBLISH + cmd("GET", "a") and not publisher.transport.paused

    @pytest.mark.parametrize("end", ["lost", "gone", "silent"])
    def test_or_until_it_never_will_be_or_not_soon(self, wire: Wire, end: str) -> None:
        subscriber, own = self.subscriber(wire)
        publisher, shared = self.publisher(wire)
        subscriber.send(cmd("UNSUBSCRIBE", "a"))
        publisher.send(PUBLISH)
        if end == "lost":
            own.close()
        elif end == "gone":
            subscriber.close()
        if end != "lost":
            wire.advance(LIMIT_S)
        assert shared.got() == PUBLISH

    def test_the_limit_of_what_it_has_waited_for_does_not_cut_the_next_one_short(self, wire: Wire) -> None:
        subscriber, own = self.subscriber(wire)
        publisher, shared = self.publisher(wire)
        subscriber.send(cmd("UNSUBSCRIBE", "a"))
        publisher.send(PUBLISH)
        wire.advance(LIMIT_S / 2)
        own.send(pushed(ENDED, 2))
        assert shared.got() == PUBLISH
        subscriber.send(cmd("SUBSCRIBE", "a"))
        publisher.send(PUBLISH)
        wire.advance(LIMIT_S * 0.7)
        assert shared.got() == b""
        wire.advance(LIMIT_S * 0.4)
        assert shared.got() == PUBLISH

    @pytest.mark.parametrize("confirmed", [True, False])
    def test_a_limit_that_is_over_after_a_standstill_counts_once_more(self, wire: Wire, confirmed: bool) -> None:
        subscriber, own = self.subscriber(wire)
        publisher, shared = self.publisher(wire)
        subscriber.send(cmd("UNSUBSCRIBE", "a"))
        publisher.send(PUBLISH)
        wire.advance(LIMIT_S * 3)
        assert shared.got() == b""
        if confirmed:
            own.send(pushed(ENDED, 2))
        else:
            wire.advance(LIMIT_S * 3)
        assert shared.got() == PUBLISH

    def test_a_subscriber_that_does_not_read_keeps_publishers_waiting_once(self, wire: Wire) -> None:
        subscriber, own = self.subscriber(wire)
        (publisher, shared), other = self.publisher(wire), wire.client()
        subscriber.send(cmd("UNSUBSCRIBE", "a"))
        publisher.send(PUBLISH)
        wire.advance(LIMIT_S)
        subscriber.send(cmd("SUBSCRIBE", "b"))
        publisher.send(PUBLISH)
        other.send(PUBLISH)
        assert shared.got() == PUBLISH * 3
        own.send(pushed(ENDED, 2))
        other.send(PUBLISH)
        assert shared.got() == b"", "it has read on, and subscribes to b now"

    def test_but_not_for_those_that_come_later(self, wire: Wire) -> None:
        (one, first), (other, _) = self.subscriber(wire), self.subscriber(wire)
        publisher, shared = self.publisher(wire)
        one.send(cmd("UNSUBSCRIBE", "a"))
        publisher.send(PUBLISH)
        other.send(cmd("UNSUBSCRIBE", "a"))
        first.send(pushed(ENDED, 2))
        assert shared.got() == PUBLISH

    def test_a_publisher_that_leaves_is_forgotten(self, wire: Wire) -> None:
        subscriber, own = self.subscriber(wire)
        publisher, shared = self.publisher(wire)
        subscriber.send(cmd("UNSUBSCRIBE", "a"))
        publisher.send(PUBLISH)
        publisher.close()
        own.send(pushed(ENDED, 2))
        wire.advance(LIMIT_S)
        assert shared.got() == b"" and not wire.gate.in_flight
