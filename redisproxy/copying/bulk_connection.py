"""A connection to a Redis server that is made for many commands at once: copies and comparisons ask through it.

Commands leave as one write, and the replies come back together, so that a reply costs little more than its bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from redisproxy.config.certificates import TLSFault
from redisproxy.copying.endpoint import Command
from redisproxy.forwarding.twins import ReplyScanner, encode_command, parse_replies
from redisproxy.net.dialing import uplink_dial
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.resp import IncompleteReply, ProtocolError, RespError
from redisproxy.servers.control_connection import Arg, ServerSaidNo, connected
from redisproxy.servers.credentials import credentials_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redisproxy.config import UplinkSettings
    from redisproxy.net.network import Network

MAX_REPLY_BYTES = 1 << 30
"""More than any value of a server's with default settings; what is beyond that ends the connection."""


Begun = Callable[[bytes], None]


class Exchange(NamedTuple):
    """A request that is under way: how many replies it has, and who waits for them."""

    replies: int
    waiting: Deferred[bytes]
    begun: Begun | None = None


class BulkProtocol(Protocol):
    """Knows how many replies belong to each request, and hands them over as the bytes that came."""

    transport: Any

    def __init__(self) -> None:
        self._ended = False
        self._scanner = ReplyScanner()
        self._chunks: list[bytes] = []
        self._size = self._missing = 0
        self._waiting: deque[Exchange] = deque()

    def exchange(self, request: bytes, replies: int, begun: Begun | None = None) -> Deferred[bytes]:
        """Send what is asked, and get the bytes of so many replies; several requests may be under way.

        @param begun: is called with the first bytes of the answer, as soon as they are there.
        The connection is of no use after one of the Deferreds was cancelled or has failed.
        """
        waiting: Deferred[bytes] = Deferred(self._cancelled)
        if self._ended or self.transport is None:
            waiting.errback(UplinkUnavailable("the connection was lost"))
            return waiting
        if not self._waiting:
            self._missing = replies
        self._waiting.append(Exchange(replies, waiting, begun))
        self.transport.write(request)
        return waiting

    def _cancelled(self, cancelled: Deferred[bytes]) -> None:
        """Leave its failure to the Deferred, which says that it was cancelled."""
        self._waiting = deque(each for each in self._waiting if each.waiting is not cancelled)
        self.close()

    def dataReceived(self, data: bytes) -> None:
        """Count off replies; the last one of a request ends it."""
        try:
            self._take(data)
        except ProtocolError as error:
            self._end(error.text)

    def _take(self, data: bytes) -> None:
        at = 0
        while at < len(data) and not self._ended:
            if not self._waiting:
                raise ProtocolError("more was answered than asked for")
            end, done = self._scanner.scan(data, at, self._missing)
            if not self._chunks and (begun := self._waiting[0].begun) is not None:
                begun(data[at:end])
            self._chunks.append(data[at:end])
            self._size += end - at
            at = end
            self._missing -= done
            if not self._missing:
                self._complete()
            elif self._size > MAX_REPLY_BYTES:
                raise ProtocolError("an answer is too large")

    def _complete(self) -> None:
        waiting = self._waiting.popleft().waiting
        whole = b"".join(self._chunks)
        self._chunks, self._size = [], 0
        self._missing = self._waiting[0].replies if self._waiting else 0
        if not waiting.called:
            waiting.callback(whole)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail what is under way."""
        self._end("the connection was lost")

    def close(self) -> None:
        """Close the connection at once."""
        self._end("the connection was closed")

    def _end(self, why: str) -> None:
        if self._ended:
            return
        self._ended = True
        if self.transport is not None:
            self.transport.abortConnection()
        under_way, self._waiting = self._waiting, deque()
        self._chunks = []
        for each in under_way:
            if not each.waiting.called:
                each.waiting.errback(UplinkUnavailable(why))


class BulkConnection:
    """An open connection. Implements L{endpoint.Asks}.

    @ivar name: the server's name in messages. @ivar db: the database that was selected with L{select}.
    """

    def __init__(self, name: str, protocol: BulkProtocol, clock: IReactorTime, timeout_s: float) -> None:
        self.name = name
        self.db = 0
        self._protocol = protocol
        self._clock = clock
        self._timeout_s = timeout_s

    def exchange(self, request: bytes, replies: int, begun: Begun | None = None) -> Deferred[bytes]:
        """Send encoded commands, and get the bytes of their replies. Several may be under way.

        @param replies: how many commands these are. @param begun: see L{BulkProtocol.exchange}.
        @raise UplinkUnavailable: the server did not answer.
        """
        exchanged = self._protocol.exchange(request, replies, begun).addTimeout(self._timeout_s, self._clock)
        return exchanged.addErrback(self._failed)

    def _failed(self, failure: Failure) -> bytes:
        self.close()
        if failure.check(CancelledError):
            failure.raiseException()
        why = f"no answer within {self._timeout_s:g} s" if failure.check(TimeoutError) else failure.getErrorMessage()
        raise UplinkUnavailable(f"{self.name}: {why}") from None

    async def ask_all(self, *commands: Command, begun: Begun | None = None) -> list[Any]:
        """Send commands at once; the replies: bytes, int, list, None, or a L{ServerSaidNo}.

        @param begun: see L{BulkProtocol.exchange}.
        @raise UplinkUnavailable: the server did not answer.
        """
        if not commands:
            return []
        request = b"".join([encode_command(*command) for command in commands])
        replies = await self.ask_encoded(request, len(commands), begun)
        return [
            self._refusal(reply, command) if isinstance(reply, RespError) else reply
            for reply, command in zip(replies, commands, strict=True)
        ]

    async def ask_encoded(self, request: bytes, count: int, begun: Begun | None = None) -> list[Any]:
        """Send `count` encoded commands; the replies: bytes, int, list, None, or a L{RespError}.

        @raise UplinkUnavailable: the server did not answer.
        """
        if not count:
            return []
        data = await self.exchange(request, count, begun)
        try:
            return parse_replies(data)
        except (ProtocolError, IncompleteReply) as error:
            self.close()
            raise UplinkUnavailable(f"{self.name}: {str(error) or 'an answer that is none'}") from None

    def _refusal(self, reply: RespError, command: Command) -> ServerSaidNo:
        return ServerSaidNo(f"{self.name}: {command[0]!s}: {reply.text.removeprefix('ERR ')}")

    async def ask(self, *command: Arg) -> Any:
        """Send one command.

        @raise ServerSaidNo: the server answered with an error. @raise UplinkUnavailable: it did not answer.
        """
        (reply,) = await self.ask_all(command)
        if isinstance(reply, ServerSaidNo):
            raise reply
        return reply

    async def ask_in(self, commands: Mapping[int, Sequence[Command]]) -> dict[int, list[Any]]:
        """Send commands to several databases at once; the replies by database, as L{ask_all} has them.

        @raise ServerSaidNo: there is no such database. @raise UplinkUnavailable: the server did not answer.
        """
        sent = [each for db, asked in commands.items() for each in (("SELECT", db), *asked)]
        replies = iter(await self.ask_all(*sent))
        answers: dict[int, list[Any]] = {}
        for db, asked in commands.items():
            selected = next(replies)
            if isinstance(selected, ServerSaidNo):
                self.close()
                raise selected
            self.db = db
            answers[db] = list(islice(replies, len(asked)))
        return answers

    async def select(self, db: int) -> None:
        """Go to another database.

        @raise ServerSaidNo: the server refuses it.
        """
        if db != self.db:
            await self.ask("SELECT", db)
            self.db = db

    def close(self) -> None:
        """Close it; what is under way fails."""
        self._protocol.close()


async def open_bulk(
    uplink: UplinkSettings, name: str, network: Network, clock: IReactorTime, timeout_s: float
) -> BulkConnection:
    """Log in at the server in `uplink`.

    @param name: the server's name in messages.
    @param timeout_s: the limit for each request.
    @raise UplinkError: it can't be had.
    """
    protocol = await dialled(uplink, name, network, clock, BulkProtocol)
    connection = BulkConnection(name, protocol, clock, timeout_s)
    try:
        if auth := (await credentials_of(uplink, network).ask()).auth():
            await connection.ask("AUTH", *auth)
    except BaseException:
        connection.close()
        raise
    return connection


async def dialled(uplink: UplinkSettings, name: str, network: Network, clock: IReactorTime, make: Any) -> Any:
    """Connect a protocol, which `make` makes, to the server in `uplink`.

    @raise UplinkError: the server can't be reached.
    """
    try:
        dial = uplink_dial(network, uplink)
    except TLSFault as error:
        raise UplinkUnavailable(f"{name}: {error}") from error
    return await connected(name, dial, make, clock, uplink.connect_timeout_ms / 1000)
