"""Subscribers, for those who ask for them (C{"pubsub": true}): pinned, and moved in a switch.

A subscriber's connection brings messages between the replies, so everything from it passes a L{Subscription}, which
tells messages, confirmations and replies apart. https://redis.io/docs/latest/develop/pubsub/ gives the formats.

In a switch nothing is lost or doubled when the publishers come through the proxy: they are held by the closed gate, so
that no message is on its way but those that the old server has sent already. The subscriptions are made again at the
new server, a PING on the old connection brings whatever is still under way there before its PONG, and then the client
changes over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from redisproxy.client.observers import Observed
from redisproxy.client.reasons import Reason
from redisproxy.commands import Rule, Treatment
from redisproxy.errors import UplinkUnavailable
from redisproxy.framing import ReplyScanner
from redisproxy.resp import encode_command, parse_reply
from redisproxy.sinks import Collector

if TYPE_CHECKING:
    from redisproxy.client.protocol import ClientProtocol
    from redisproxy.interfaces import Connection

MAX_HELD_BYTES = 524288
"""More than a confirmation can have: its command fitted into C{max_held_request_bytes}."""
_MESSAGES = frozenset({b"message", b"pmessage", b"smessage"})
_CONFIRMATIONS = {
    prefix + verb + b"subscribe": (prefix, verb == b"") for prefix in (b"", b"p", b"s") for verb in (b"", b"un")
}
IN_CONTEXT = frozenset(prefix.upper() for prefix in _CONFIRMATIONS) | {b"PING", b"QUIT", b"RESET"}
_NOT_SENT = frozenset({Rule.LOCAL, Rule.REFUSED, Rule.SECURITY})
_CONTAINERS = frozenset({b"CLIENT", b"ACL", b"CONFIG", b"CLUSTER", b"MODULE", b"SCRIPT"})
NOT_WHILE_SUBSCRIBED = (
    "ERR redisproxy does not run this command for a client with subscriptions; use another connection"
)


class Subscription:
    """What one client is subscribed to, and the connection that brings it.

    @ivar names: channels, patterns and shard channels, by the prefix of their commands.
    """

    def __init__(self, client: ClientProtocol, connection: Connection) -> None:
        self.client = client
        self.connection = connection
        self.names: dict[bytes, dict[bytes, None]] = {b"": {}, b"p": {}, b"s": {}}
        self._scanner = ReplyScanner()
        self._scanner.counts_pushes = True
        self._held: list[bytes] = []
        self._size = 0
        self._passing = ""
        self._swallow = 0
        self._swallowed: Deferred[None] | None = None
        connection.reader = self.feed

    def __bool__(self) -> bool:
        return any(self.names.values())

    # -- what arrives

    def feed(self, data: bytes) -> None:
        """Take what the server has sent.

        @raise ProtocolError: these are no replies.
        """
        at = 0
        while at < len(data):
            start = at
            at, done = self._scanner.scan(data, start, 1)
            self._piece(data[start:at], bool(done))

    def _piece(self, piece: bytes, done: bool) -> None:
        """One piece of one message or reply; a large message is passed on as it arrives."""
        if not self._passing:
            self._held.append(piece)
            self._size += len(piece)
            if not done and self._size <= MAX_HELD_BYTES:
                return
            piece = b"".join(self._held)
            self._held, self._size = [], 0
            self._passing = self._classify(piece, done)
        if self._passing == "message":
            self.client.deliver(piece, 0)
        elif self._passing == "reply":
            self.connection.dispatch(piece)
        elif self._passing == "confirmation":
            self.connection.confirm(piece)
        if done:
            self._passing = ""

    def _classify(self, piece: bytes, done: bool) -> str:
        if piece[:1] not in (b"*", b">"):
            return "reply"
        word = piece.split(b"\r\n", 3)[2].lower() if piece.count(b"\r\n", 0, 64) >= 3 else b""
        if word in _MESSAGES:
            return "message"
        if word not in _CONFIRMATIONS or not done:
            return "reply" if piece[:1] == b"*" else "message"
        self._confirmed(word, parse_reply(piece))
        if not self._swallow:
            return "confirmation"
        self._swallow -= 1
        if not self._swallow and self._swallowed is not None:
            swallowed, self._swallowed = self._swallowed, None
            swallowed.callback(None)
        return "swallowed"

    def _confirmed(self, word: bytes, reply: Any) -> None:
        prefix, added = _CONFIRMATIONS[word]
        name = reply[1]
        if name is None:
            return
        if added:
            self.names[prefix][name] = None
        else:
            self.names[prefix].pop(name, None)

    # -- moving

    async def copy_to(self, connection: Connection) -> Subscription:
        """Subscribe to the same at another server; fire when it has confirmed everything.

        @raise UplinkUnavailable: the connection was lost, or it refused.
        """
        copy = Subscription(self.client, connection)
        wanted = [(prefix, list(names)) for prefix, names in self.names.items() if names]
        copy._swallow = sum(len(names) for _, names in wanted)
        done: Deferred[None] = Deferred()
        copy._swallowed = done
        connection.holder = copy
        for prefix, names in wanted:
            connection.send_more(encode_command(prefix + b"SUBSCRIBE", *names))
        if copy._swallow:
            await done
        return copy

    async def last_messages(self) -> None:
        """Fire when everything that the server has sent up to now has been passed on."""
        answered: Deferred[None] = Deferred()
        self.connection.submit_own(Collector(1, lambda _: answered.callback(None)), encode_command("PING"), 1)
        await answered

    def uplink_gone(self) -> None:
        """Part of C{Holder}, while it is being made: the connection is lost."""
        swallowed, self._swallowed = self._swallowed, None
        if swallowed is not None:
            swallowed.errback(Failure(UplinkUnavailable("the connection was lost while subscribing")))


def expected(args: list[bytes], names: dict[bytes, None]) -> int:
    """How many confirmations the server sends for a (P|S)(UN)SUBSCRIBE."""
    return len(args) - 1 if len(args) > 1 else max(1, len(names))


def subscribe(client: ClientProtocol, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Handle SUBSCRIBE, UNSUBSCRIBE and their kin. No reply is outstanding."""
    word = args[0].lower()
    prefix, adds = _CONFIRMATIONS[word]
    if adds and len(args) < 2:
        client.error(f"ERR wrong number of arguments for '{word.decode()}' command")
        return True
    if not client.route.obtain(pinned=True):
        return False
    connection = client.route.connection
    assert connection is not None
    if client.subscription is None:
        client.subscription = Subscription(client, connection)
        client.session.subscribed = True
        client.apply_framing()
    count = expected(args, client.subscription.names[prefix])
    client.submit_many(Observed(client, lambda _: _settle(client)), raw, count)
    client.block(Reason.REPLIES)
    return True


def _settle(client: ClientProtocol) -> None:
    """The last subscription may have ended, and with it what binds the client to its connection."""
    if client.pending or client.subscription is None or client.subscription:
        return
    end(client)


def end(client: ClientProtocol) -> None:
    """Be no subscriber any more; the connection is closed."""
    client.subscription = None
    client.session.subscribed = False
    client.apply_framing()
    client.route.leave()


def refuse(client: ClientProtocol, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Answer a subscriber that sends a command which it may not send.

    In RESP2 that is everything but the commands of this context, and the server says so itself, to what may reach it.
    In RESP3 it is only what would bind further state to the connection.
    """
    if client.session.resp_version != 2:
        return client.barrier() and _error(client, NOT_WHILE_SUBSCRIBED)
    if treatment.rule in _NOT_SENT or not client.subscription:
        return client.barrier() and _error(client, _refusal(args))
    if not client.route.obtain(pinned=True):
        return False
    client.send_plain(raw, 1)
    return True


def _error(client: ClientProtocol, text: str) -> bool:
    client.error(text)
    return True


def _refusal(args: list[bytes]) -> str:
    """Redis's own text (src/server.c)."""
    words = args[:2] if args[0].upper() in _CONTAINERS else args[:1]
    shown = b"|".join(words)[:64].decode("latin-1").lower()
    return (
        f"ERR Can't execute '{shown}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this"
        " context"
    )
