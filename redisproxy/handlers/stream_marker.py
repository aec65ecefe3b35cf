"""The marker at which a stream of messages is cut: how it gets into the stream, and how the stream is rid of it again.

Between messages it is a message on a channel to which both connections are subscribed besides; between the lines of
MONITOR it is a command that nobody else sends.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from twisted.internet.defer import Deferred

from redisproxy.client.stream_cut import StreamCut
from redisproxy.forwarding.collector import Collector
from redisproxy.handlers.pubsub import major_version
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.resp import RespError, encode_command

if TYPE_CHECKING:
    from redisproxy.client.client import Client
    from redisproxy.client.message_stream import MessageStream
    from redisproxy.forwarding.interfaces import Connection

_PREFIX = b"__redisproxy:handover:"


def new_marker() -> bytes:
    """A text that nobody else uses."""
    return _PREFIX + secrets.token_hex(8).encode()


class Marker(Protocol):
    """How the marker gets into both streams."""

    @property
    def command(self) -> tuple[bytes, ...]:
        """What sends it, on any other connection."""

    async def join(self, connection: Connection) -> None:
        """Have this connection bring it; fire when it will.

        @raise UplinkUnavailable: the server has refused, or the connection is lost.
        """

    def leave(self, connection: Connection, on_left: Callable[[], None]) -> None:
        """Undo L{join}."""


class MarkerChannel:
    """A L{Marker} between messages. A shard channel reaches nobody who has not asked for it, and no pattern matches it.

    @param sharded: the server knows shard channels, as Redis does since 7.0.
    """

    def __init__(self, channel: bytes, sharded: bool) -> None:
        self._channel = channel
        self._prefix = b"S" if sharded else b""

    @property
    def command(self) -> tuple[bytes, ...]:
        """Part of L{Marker}."""
        return self._prefix + b"PUBLISH", self._channel, b""

    async def join(self, connection: Connection) -> None:
        """Part of L{Marker}."""
        replies = await self._ask(connection, b"SUBSCRIBE")
        if replies is None:
            raise UplinkUnavailable("the connection is lost on which messages come")
        if isinstance(replies[0], RespError):
            raise UplinkUnavailable(f"the server does not let messages be marked: {replies[0].text}")

    def leave(self, connection: Connection, on_left: Callable[[], None]) -> None:
        """Part of L{Marker}."""
        self._ask(connection, b"UNSUBSCRIBE").addCallback(lambda _: on_left())

    def _ask(self, connection: Connection, verb: bytes) -> Deferred[list[object] | None]:
        answered: Deferred[list[object] | None] = Deferred()
        connection.submit_own(Collector(1, answered.callback), encode_command(self._prefix + verb, self._channel), 1)
        return answered


class MarkerLine:
    """A L{Marker} between the lines of MONITOR: a command that shows."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    @property
    def command(self) -> tuple[bytes, ...]:
        """Part of L{Marker}."""
        return b"PING", self._text

    async def join(self, connection: Connection) -> None:
        """Part of L{Marker}: whoever monitors sees every command."""

    def leave(self, connection: Connection, on_left: Callable[[], None]) -> None:
        """Part of L{Marker}."""
        on_left()


async def begin_cut(stream: MessageStream, cut: StreamCut, marker: Marker) -> None:
    """Have a stream cut at `marker`, which may be sent once this has fired.

    @raise UplinkUnavailable: see L{Marker.join}.
    """
    stream.cut = cut
    cut.on_over = lambda: end_cut(stream, cut, marker)
    await marker.join(stream.connection)


def end_cut(stream: MessageStream, cut: StreamCut, marker: Marker) -> None:
    """The client goes on with this stream: the marker is needed no more."""

    def left() -> None:
        stream.cut = None
        cut.pass_rest()

    cut.on_over = lambda: None
    marker.leave(stream.connection, left)


def cut_for(client: Client, text: bytes, monitors: bool, is_old: bool) -> tuple[StreamCut, Marker]:
    """What one connection brings for `client`, cut at the marker with this text, and the marker.

    @param monitors: lines, and not messages. @param is_old: see L{StreamCut}.
    """
    held = client.core.limits.output_hard_bytes
    if monitors:
        return StreamCut(text, lambda lines: client.deliver(lines, 0), is_old, held), MarkerLine(text)
    marker = MarkerChannel(text, (major_version(client) or 0) >= 7)
    return StreamCut(text, client.output.write, is_old, held), marker
