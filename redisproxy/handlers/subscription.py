"""A client's connection on which messages come between the replies: of channels, or about its cache.

Everything from it passes a L{Subscription}, which tells messages, confirmations and replies apart.
https://redis.io/docs/latest/develop/pubsub/ gives the formats.

In a switch nothing is lost or doubled when the publishers come through the proxy: they are held by the closed gate, so
that no message is on its way but those that the old server has sent already. The subscriptions are made again at the
new server, a PING on the old connection brings whatever is still under way there before its PONG, and then the client
changes over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from redisproxy.client.message_stream import NAME_BYTES
from redisproxy.forwarding.collector import Collector
from redisproxy.forwarding.twins import ReplyScanner
from redisproxy.handlers.reply_sinks import Observed
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.resp import encode_command, parse_reply

if TYPE_CHECKING:
    from redisproxy.client.client import Client
    from redisproxy.client.message_stream import MessageStream
    from redisproxy.client.stream_cut import StreamCut
    from redisproxy.forwarding.interfaces import Connection

MAX_HELD_BYTES = 524288
"""More than a confirmation can have: its command fitted into C{max_held_request_bytes}."""
_MESSAGES = frozenset({b"message", b"pmessage", b"smessage"})
CONFIRMATIONS = {
    prefix + verb + b"subscribe": (prefix, verb == b"") for prefix in (b"", b"p", b"s") for verb in (b"", b"un")
}


class Confirmed(Observed):
    """The confirmations of one command. They reach a client that has switched replies off; an error does not."""

    __slots__ = ("_change",)

    def __init__(self, client: Client, on_done: Callable[[bytes], None]) -> None:
        super().__init__(client, on_done)
        self._change = client.core.subscription_changes.begin()

    def reply(self, data: bytes, done: int) -> None:
        refused = (self._head or data).startswith(b"-")
        self._observe(data, done)
        if not refused:
            self.client.output.write(data)
        self.client.deliver(data if refused else b"", done)
        if done:
            self.client.core.subscription_changes.end(self._change)

    def lost(self) -> None:
        self.client.core.subscription_changes.end(self._change)
        super().lost()


class Subscription:
    """What one client is subscribed to, and the connection that brings it.

    Part of C{message_stream.MessageStream}. It is there while the client is subscribed or has CLIENT TRACKING on.

    @ivar passing: what is being passed on in pieces; empty between two messages or replies.
    """

    FLAG = "P"

    def __init__(self, client: Client, connection: Connection) -> None:
        self.client = client
        self.connection = connection
        self.names: dict[bytes, dict[bytes, None]] = {b"": {}, b"p": {}, b"s": {}}
        self.names_bytes = 0
        self.asked: list[bytes] = []
        self._scanner = ReplyScanner()
        self._scanner.counts_pushes = True
        self._held: list[bytes] = []
        self._size = 0
        self.passing = ""
        self.reads_on = False
        self.cut: StreamCut | None = None
        self._in_use = True
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
        self.client.waiting.take_later()  # what the proxy answers itself comes behind the messages that have arrived
        try:
            while at < len(data):
                start = at
                at, done = self._scanner.scan(data, start, 1)
                self._piece(data[start:at], bool(done))
        finally:
            self.client.waiting.take_now()

    def _piece(self, piece: bytes, done: bool) -> None:
        """One piece of one message or reply; a large message is passed on as it arrives."""
        if not self.passing:
            self._held.append(piece)
            self._size += len(piece)
            if not done and self._size <= MAX_HELD_BYTES and self._may_be_message(self._held[0]):
                return
            piece = b"".join(self._held)
            self._held, self._size = [], 0
            self.passing = self._classify(piece, done)
        kind = self.passing
        if done:
            self.passing = ""
        self._pass_on(kind, piece)

    def _pass_on(self, kind: str, piece: bytes) -> None:
        if kind == "message":
            (self.client.output.write if self.cut is None else self.cut.message)(piece)
            self.client.deliver(b"", 0)
        elif kind == "reply":
            if piece[:1] == b"-":
                self._refused()
            self.connection.queue.dispatch(piece)
        elif kind == "confirmation":
            self.connection.queue.confirm(piece)

    @property
    def mid_message(self) -> bool:
        """Whether the client has the beginning of a message and not its end."""
        return self.passing == "message"

    @property
    def amid(self) -> bool:
        """Whether nothing may be written to the client now. Of replies the connection's queue knows that."""
        return self.mid_message

    def _may_be_message(self, piece: bytes) -> bool:
        session = self.client.session
        return piece[:1] == b">" or (piece[:1] == b"*" and session.resp_version == 2 and session.subscribed)

    def _classify(self, piece: bytes, done: bool) -> str:
        if not self._may_be_message(piece):
            return "reply"
        word = piece.split(b"\r\n", 3)[2].lower() if piece.count(b"\r\n", 0, 64) >= 3 else b""
        if self.cut is not None and done and (word in _MESSAGES or word in CONFIRMATIONS):
            kind = self.cut.kind(piece)
            if kind:
                return kind
        if word in _MESSAGES:
            return "message"
        if word == b"invalidate" and not (self._in_use and self.client.session.resp_version == 3):
            return "swallowed"
        if word not in CONFIRMATIONS or not done:
            return "reply" if piece[:1] == b"*" else "message"
        self._confirmed(word, parse_reply(piece))
        if not self._swallow:
            return "confirmation"
        self._swallow -= 1
        if not self._swallow and self._swallowed is not None:
            swallowed, self._swallowed = self._swallowed, None
            swallowed.callback(None)
        return "swallowed"

    def _refused(self) -> None:
        """The server has answered a command with an error, which stands for all its confirmations."""
        entry = self.connection.queue.head()
        if entry is not None and isinstance(entry.sink, Confirmed) and entry.want > 1:
            self.client.lane.pending -= entry.want - 1
            self.client.core.gate.release(entry.want - 1)
            entry.want = 1

    def _confirmed(self, word: bytes, reply: Any) -> None:
        prefix, added = CONFIRMATIONS[word]
        name = reply[1]
        if name is None:
            return
        names, before = self.names[prefix], len(self.names[prefix])
        if added:
            names[name] = None
        else:
            names.pop(name, None)
        self.names_bytes += (len(names) - before) * (len(name) + NAME_BYTES)

    # -- moving

    async def copy_to(self, connection: Connection) -> Subscription:
        """Subscribe to the same, and track, at another server; fire when it has confirmed everything.

        Until L{take_over}, invalidations from there are swallowed: the client will be told to forget everything.

        @raise UplinkUnavailable: the connection was lost, or it refused.
        """
        return await subscribed_at(self.client, connection, self.names)

    async def _make(self, names: Mapping[bytes, Iterable[bytes]]) -> None:
        self._in_use = False
        wanted = [(prefix, list(each)) for prefix, each in names.items() if each]
        self._swallow = sum(len(each) for _, each in wanted)
        self.connection.holder = self
        for prefix, each in wanted:
            self.connection.queue.send(encode_command(prefix + b"SUBSCRIBE", *each))
        if self._swallow:
            self._swallowed = Deferred()
            await self._swallowed
        await self._track()

    async def _track(self) -> None:
        tracking = self.client.session.tracking
        commands = self.asked = [] if tracking is None else tracking.commands()
        if commands and await self._answers(b"".join(commands), len(commands)) != [b"OK"] * len(commands):
            raise UplinkUnavailable("the server does not take CLIENT TRACKING")

    async def _answers(self, data: bytes, count: int) -> list[object] | None:
        answered: Deferred[list[object] | None] = Deferred()
        self.connection.submit_own(Collector(count, answered.callback), data, count)
        return await answered

    def take_over(self) -> None:
        """The client goes on at this connection, where everything has been made again."""
        self._in_use = True
        self.client.pushes.forget_all()
        if self.cut is not None and not self.cut.open():
            self.client.closing.drop("slow_reader")

    async def last_messages(self) -> None:
        """Fire when everything that the server has sent up to now has been passed on."""
        await self.reading_on(ensureDeferred(self._answers(encode_command("PING"), 1)))

    async def reading_on(self, until: Deferred[Any]) -> None:
        """Wait for this, and read meanwhile whatever happens.

        A client that does not read gets it all the same, within its limit: everybody would wait for it.
        """
        self.reads_on = True
        self.connection.resume_reading()
        try:
            await until
        finally:
            self.reads_on = False
            if self.client.output.unread:
                self.client.slow_reader.stop_replies()

    def connection_lost(self) -> None:
        """Messages may be lost with the connection. A client that can't be told what it has missed has to go."""
        client = self.client
        client.route.stream = None
        tracking = client.session.tracking
        if tracking is None or tracking.broadcast or self or self.mid_message or client.lane.pending:
            client.closing.drop("uplink_lost")
            return
        tracking.lost = True
        client.pushes.forget_all()

    pingable = takes_auth = False

    def uplink_gone(self) -> None:
        """Part of C{Holder}, while it is being made: the connection is lost."""
        swallowed, self._swallowed = self._swallowed, None
        if swallowed is not None:
            swallowed.errback(Failure(UplinkUnavailable("the connection was lost while subscribing")))


async def subscribed_at(client: Client, connection: Connection, names: Mapping[bytes, Iterable[bytes]]) -> Subscription:
    """Have a connection bring `client` messages, and track for it as it has asked for; see L{Subscription.copy_to}.

    @param names: channels, patterns and shard channels, by the prefix of their commands.
    """
    subscription = Subscription(client, connection)
    await subscription._make(names)
    return subscription


def stream_of(client: Client) -> MessageStream:
    """What tells messages from replies on the client's pinned connection."""
    route = client.route
    assert route.pinned and route.connection is not None
    if route.stream is None:
        route.stream = Subscription(client, route.connection)
    return route.stream


def settle_stream(client: Client) -> None:
    """There may be no more messages to expect: then the connection is like any other, and is given back."""
    session, route = client.session, client.route
    if session.tracking is None and not session.subscribed and route.connection is not None:
        route.stream = None
        route.connection.reader = None
        route.settle()
