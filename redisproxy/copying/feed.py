"""The feed: the old server tells the name of every key that anybody changes, expires or evicts there.

Its messages leave before the reply of the command that caused them. A feed that is lost has missed changes. How a
server comes to tell is in L{feeds}.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, FirstError, TimeoutError, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from redisproxy.forwarding.twins import ReplyScanner
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.resp import IncompleteReply, ProtocolError, encode_command, parse_reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redisproxy.copying.changes import Changes
    from redisproxy.copying.messages import Messages
    from redisproxy.servers.control_connection import Arg

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
ANSWER_S = 20.0
TOLD_TYPES = (b"string", b"list", b"set", b"zset", b"hash", b"none")
"""Every change of these is told."""


class FeedProtocol(Protocol):
    """The connection that is told.

    @ivar ended: nothing is told any more.
    @param changes: where the names go. @param messages: knows what is in them.
    """

    def __init__(self, changes: Changes, messages: Messages) -> None:
        self.ended = False
        self._changes = changes
        self._messages = messages
        self._scanner = ReplyScanner()
        self._scanner.counts_pushes = True
        self._parts: list[bytes] = []
        self._held_bytes = 0
        self._waiting: deque[Deferred[Any]] = deque()

    def ask(self, *command: Arg) -> Deferred[Any]:
        """Send a command whose reply is no list; fires with it, after every message that came before it."""
        reply: Deferred[Any] = Deferred()
        if self.ended or self.transport is None:
            reply.errback(UplinkUnavailable("the connection was lost"))
            return reply
        self._waiting.append(reply)
        self.transport.write(encode_command(*command))
        return reply

    def dataReceived(self, data: bytes) -> None:
        """Part of C{IProtocol}."""
        try:
            self._scan(data)
        except (ProtocolError, IncompleteReply):
            self.end()

    def _scan(self, data: bytes) -> None:
        at, tried = (0, False) if self._parts else (self._messages.take_many(self._changes, data, 0), True)
        while at < len(data) and not self.ended:
            end, done = self._scanner.scan(data, at, 1)
            self._parts.append(data[at:end])
            self._held_bytes += end - at
            at = end
            if done:
                whole, self._parts, self._held_bytes = b"".join(self._parts), [], 0
                self._take(parse_reply(whole))
                if not tried:
                    at, tried = self._messages.take_many(self._changes, data, at), True
            elif self._held_bytes > MAX_MESSAGE_BYTES:
                raise ProtocolError("a message that is too long")

    def _take(self, message: object) -> None:
        told = isinstance(message, list) and self._messages.take(self._changes, message)
        if not told and self._waiting:
            self._waiting.popleft().callback(message)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Part of C{IProtocol}."""
        self.end()

    def end(self) -> None:
        """Close the connection."""
        if self.ended:
            return
        self.ended = True
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()
        waiting, self._waiting = self._waiting, deque()
        for each in waiting:
            if not each.called:
                each.errback(UplinkUnavailable("the connection was lost"))


class Feed:
    """One feed.

    @ivar tells_flushes: it tells when databases are emptied.
    """

    def __init__(self, protocol: FeedProtocol, name: str, clock: IReactorTime, tells_flushes: bool = True) -> None:
        self.tells_flushes = tells_flushes
        self._protocol = protocol
        self._name = name
        self._clock = clock

    @property
    def lost(self) -> bool:
        """Whether it has ended, so that changes may have been missed."""
        return self._protocol.ended

    async def ask(self, *command: Arg) -> Any:
        """Ask on the feed's own connection.

        @raise UplinkUnavailable: no answer. The feed is lost then.
        """
        try:
            return await self._protocol.ask(*command).addTimeout(ANSWER_S, self._clock)
        except TimeoutError:
            self.end()
            raise UplinkUnavailable(f"{self._name}: no answer within {ANSWER_S:g} s") from None

    async def last_word(self) -> bool:
        """Wait until the feed has told every change whose command was answered before this call; False if it is lost.

        Twice, because a server tells changes at the end of its turn: a PING in the turn of the change itself would be
        answered first.
        """
        try:
            await self.ask("PING")
            await self.ask("PING")
        except UplinkUnavailable:
            return False
        return True

    async def silent_types(self, keys: Sequence[tuple[int, bytes]]) -> tuple[tuple[int, bytes], ...]:
        """Of these keys those that are streams or of a module's type, which alone can change without being told.

        All of them, if the feed is lost.
        """
        asked: list[Deferred[Any]] = []
        for db, name in keys:
            asked += [self._protocol.ask("SELECT", db), self._protocol.ask("TYPE", name)]
        try:
            replies = await gatherResults(asked, consumeErrors=True).addTimeout(ANSWER_S, self._clock)
        except (FirstError, TimeoutError):
            return tuple(keys)
        kinds = replies[1::2]
        return tuple(key for key, kind in zip(keys, kinds, strict=True) if kind not in TOLD_TYPES)

    async def latency_s(self) -> float:
        """How long the old server takes for an answer, in seconds.

        @raise UplinkUnavailable: it gives none.
        """
        began = self._clock.seconds()
        await self.ask("PING")
        return self._clock.seconds() - began

    def end(self) -> None:
        """Close it."""
        self._protocol.end()
