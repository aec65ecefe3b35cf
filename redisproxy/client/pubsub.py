"""Subscribers, for those who ask for them (C{"pubsub": true}): pinned, and moved in a switch.

A subscriber's connection brings messages between the replies, so everything from it passes a L{Subscription}, which
tells messages, confirmations and replies apart. https://redis.io/docs/latest/develop/pubsub/ gives the formats.

In a switch nothing is lost or doubled when the publishers come through the proxy: they are held by the closed gate, so
that no message is on its way but those that the old server has sent already. The subscriptions are made again at the
new server, a PING on the old connection brings whatever is still under way there before its PONG, and then the client
changes over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from redisproxy.client.containers import full_name
from redisproxy.client.observers import Observed
from redisproxy.client.reasons import Reason
from redisproxy.client.tracking_options import INVALIDATE_ALL
from redisproxy.commands.treatment import Treatment
from redisproxy.forwarding.collector import Collector
from redisproxy.forwarding.twins import ReplyScanner
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.resp import bulk, encode_command, integer, null, parse_reply, push_header

if TYPE_CHECKING:
    from redisproxy.client.protocol import ClientProtocol
    from redisproxy.forwarding.interfaces import Connection

MAX_HELD_BYTES = 524288
"""More than a confirmation can have: its command fitted into C{max_held_request_bytes}."""
_MESSAGES = frozenset({b"message", b"pmessage", b"smessage"})
_CONFIRMATIONS = {
    prefix + verb + b"subscribe": (prefix, verb == b"") for prefix in (b"", b"p", b"s") for verb in (b"", b"un")
}
IN_CONTEXT = frozenset(prefix.upper() for prefix in _CONFIRMATIONS) | {b"PING", b"QUIT", b"RESET"}
NOT_WHILE_SUBSCRIBED = (
    "ERR redisproxy does not run this command for a client with subscriptions; use another connection"
)


class Confirmed(Observed):
    """The confirmations of one command. They reach a client that has switched replies off; an error does not."""

    __slots__ = ("_change",)

    def __init__(self, client: ClientProtocol, on_done: Callable[[bytes], None]) -> None:
        super().__init__(client, on_done)
        self._change = client.core.changes.begin()

    def reply(self, data: bytes, done: int) -> None:
        refused = (self._head or data).startswith(b"-")
        self._observe(data, done)
        if not refused:
            self.client.write(data)
        self.client.deliver(data if refused else b"", done)
        if done:
            self.client.core.changes.end(self._change)

    def lost(self) -> None:
        self.client.core.changes.end(self._change)
        super().lost()


class Subscription:
    """What one client is subscribed to, and the connection that brings it.

    It is there while the client is subscribed or has CLIENT TRACKING on (C{client.tracking}).

    @ivar names: channels, patterns and shard channels, by the prefix of their commands.
    @cvar FLAG: what CLIENT LIST calls such a client.
    @ivar asked: the commands with which tracking was asked for at the server that is moved to.
    @ivar reads_on: the connection is read although the client does not read.
    @ivar passing: what is being passed on in pieces; empty between two messages or replies.
    """

    FLAG = "P"

    def __init__(self, client: ClientProtocol, connection: Connection) -> None:
        self.client = client
        self.connection = connection
        self.names: dict[bytes, dict[bytes, None]] = {b"": {}, b"p": {}, b"s": {}}
        self.asked: list[bytes] = []
        self._scanner = ReplyScanner()
        self._scanner.counts_pushes = True
        self._held: list[bytes] = []
        self._size = 0
        self.passing = ""
        self.reads_on = False
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
        self.client.take_later()  # what the proxy answers itself comes behind the messages that have arrived
        try:
            while at < len(data):
                start = at
                at, done = self._scanner.scan(data, start, 1)
                self._piece(data[start:at], bool(done))
        finally:
            self.client.take_now()

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
        if kind == "message":
            self.client.write(piece)
            self.client.deliver(b"", 0)
        elif kind == "reply":
            if piece[:1] == b"-":
                self._refused()
            self.connection.dispatch(piece)
        elif kind == "confirmation":
            self.connection.confirm(piece)

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
        if word in _MESSAGES:
            return "message"
        if word == b"invalidate" and not (self._in_use and self.client.session.resp_version == 3):
            return "swallowed"
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

    def _refused(self) -> None:
        """The server has answered a command with an error, which stands for all its confirmations."""
        entry = self.connection.queue.head()
        if entry is not None and isinstance(entry.sink, Confirmed) and entry.want > 1:
            self.client.pending -= entry.want - 1
            self.client.core.gate.release(entry.want - 1)
            entry.want = 1

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
        """Subscribe to the same, and track, at another server; fire when it has confirmed everything.

        Until L{take_over}, invalidations from there are swallowed: the client will be told to forget everything.

        @raise UplinkUnavailable: the connection was lost, or it refused.
        """
        copy = Subscription(self.client, connection)
        copy._in_use = False
        wanted = [(prefix, list(names)) for prefix, names in self.names.items() if names]
        copy._swallow = sum(len(names) for _, names in wanted)
        connection.holder = copy
        for prefix, names in wanted:
            connection.send_more(encode_command(prefix + b"SUBSCRIBE", *names))
        if copy._swallow:
            copy._swallowed = Deferred()
            await copy._swallowed
        await copy._track()
        return copy

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
        forget_all(self.client)

    async def last_messages(self) -> None:
        """Fire when everything that the server has sent up to now has been passed on.

        A client that does not read gets it all the same, within its limit: everybody would wait for it.
        """
        self.reads_on = True
        self.connection.resume_reading()
        try:
            await self._answers(encode_command("PING"), 1)
        finally:
            self.reads_on = False
            if self.client.backlog:
                self.client.route.stop_replies()

    def connection_lost(self) -> None:
        """Messages may be lost with the connection. A client that can't be told what it has missed has to go."""
        client = self.client
        client.subscription = None
        tracking = client.session.tracking
        if tracking is None or tracking.broadcast or self or self.mid_message or client.pending:
            client.drop("uplink_lost")
            return
        tracking.lost = True
        forget_all(client)

    pingable = False

    def uplink_gone(self) -> None:
        """Part of C{Holder}, while it is being made: the connection is lost."""
        swallowed, self._swallowed = self._swallowed, None
        if swallowed is not None:
            swallowed.errback(Failure(UplinkUnavailable("the connection was lost while subscribing")))


def forget_all(client: ClientProtocol) -> None:
    """Tell the client to forget what it has cached. At no time in the middle of a reply or of a message."""
    on = client.session.tracking
    if on is None:
        return
    on.owed = client.session.resp_version == 2
    if not on.owed:
        client.push(INVALIDATE_ALL)


def expected(args: list[bytes], names: dict[bytes, None]) -> int:
    """How many confirmations the server sends for a (P|S)(UN)SUBSCRIBE."""
    return len(args) - 1 if len(args) > 1 else max(1, len(names))


def rejection(args: list[bytes]) -> str | None:
    """The error with which Redis refuses to run one of these commands, or to queue it."""
    word = args[0].lower()
    if _CONFIRMATIONS[word][1] and len(args) < 2:
        return f"ERR wrong number of arguments for '{word.decode()}' command"
    return None


def not_subscribed(client: ClientProtocol, args: list[bytes]) -> bytes:
    """The confirmations of an UNSUBSCRIBE or its kin when there is nothing to end, which binds nothing."""
    version = client.session.resp_version
    verb = push_header(3, version) + bulk(args[0].lower())
    names = [bulk(name) for name in args[1:]] or [null(version)]
    return b"".join(verb + name + integer(0) for name in names)


def subscribe(client: ClientProtocol, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Handle SUBSCRIBE, UNSUBSCRIBE and their kin. No reply is outstanding."""
    word = args[0].lower()
    prefix, adds = _CONFIRMATIONS[word]
    problem = rejection(args)
    if problem is not None:
        client.error(problem)
        return True
    if not adds and client.subscription is None:
        return _unsubscribe_from_nothing(client, raw, args)
    if not client.route.obtain(pinned=True):
        return False
    stream = client.route.stream()
    if not client.session.subscribed:
        client.session.subscribed = True
        client.apply_framing()
    count = expected(args, stream.names[prefix])
    client.submit_many(Confirmed(client, lambda _: _settle(client)), raw, count)
    client.block(Reason.REPLIES)
    return True


def _unsubscribe_from_nothing(client: ClientProtocol, raw: bytes, args: list[bytes]) -> bool:
    if args[0].upper() == b"SUNSUBSCRIBE" and (major_version(client) or 7) < 7:
        return client.forward(raw, 1)  # unknown there, and the server says so
    client.write(not_subscribed(client, args))
    return True


def major_version(client: ClientProtocol) -> int | None:
    """The server's version, up to the first dot, if it is known. Shard channels came with Redis 7."""
    version = client.core.uplinks.server.get(b"version")
    major = version.split(b".")[0] if isinstance(version, bytes) else b""
    return int(major) if major.isdigit() and len(major) < 4 else None


def _settle(client: ClientProtocol) -> None:
    """The last subscription may have ended, and with it what binds the client to its connection."""
    if client.pending or client.subscription is None or client.subscription:
        return
    end(client)


def end(client: ClientProtocol) -> None:
    """Be no subscriber any more. The connection brings only replies now, unless it is tracked; a WATCH on it stays."""
    client.session.subscribed = False
    client.apply_framing()
    client.route.settle_stream()


def refusal(client: ClientProtocol, args: list[bytes]) -> str:
    """What a subscriber is told that sends a command which it may not.

    In RESP2 that is everything but the commands of this context (the text is Redis's own, src/server.c); in RESP3 only
    what would bind further state to the connection.
    """
    if client.session.resp_version != 2:
        return NOT_WHILE_SUBSCRIBED
    shown = full_name(args).decode("latin-1")
    prefix = "EXECABORT Transaction discarded because of:" if shown == "exec" else "ERR"
    return (
        f"{prefix} Can't execute '{shown}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in"
        " this context"
    )
