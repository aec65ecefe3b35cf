"""A connection to a Redis server that is made for many commands at once: copies and comparisons ask through it.

Commands leave as one write, and the replies come back together, so that a reply costs little more than its bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ConnectionClosed, ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from redisproxy.config.certificates import TLSFault
from redisproxy.copying.endpoint import Command
from redisproxy.forwarding.twins import ReplyScanner
from redisproxy.net.dialing import uplink_dial
from redisproxy.net.errors import UplinkRefused, UplinkUnavailable
from redisproxy.resp import ProtocolError, RespError, encode_command, parse_replies
from redisproxy.servers.control_connection import ServerSaidNo, connected
from redisproxy.servers.credentials import credentials_of

if TYPE_CHECKING:
    from redisproxy.config import UplinkSettings
    from redisproxy.net.network import Network

MAX_REPLY_BYTES = 1 << 30
"""More than any value of a server's with default settings; what is beyond that ends the connection."""


class BulkProtocol(Protocol):
    """Collects the replies to one request at a time."""

    transport: Any

    def __init__(self) -> None:
        self._scanner = ReplyScanner()
        self._chunks: list[bytes] = []
        self._size = self._missing = 0
        self._waiting: Deferred[bytes] | None = None
        self._lost: Failure | None = None

    def exchange(self, request: bytes, replies: int) -> Deferred[bytes]:
        """Send what is asked, and get the bytes of so many replies.

        Nothing else may be under way. The connection is of no use after the Deferred was cancelled or has failed.
        """
        waiting: Deferred[bytes] = Deferred(lambda _: self._forget())
        if self._lost is not None:
            waiting.errback(self._lost)
            return waiting
        self._waiting, self._missing = waiting, replies
        if self.transport is not None:
            self.transport.write(request)
        return waiting

    def dataReceived(self, data: bytes) -> None:
        """Count off replies; the last one ends the request."""
        try:
            end, done = self._scanner.scan(data, 0, self._missing)
        except ProtocolError as error:
            self._fail(Failure(error))
            return
        self._missing -= done
        self._size += len(data)
        self._chunks.append(data)
        if end < len(data) or self._size > MAX_REPLY_BYTES:
            self._fail(Failure(ProtocolError("more was answered than asked for")))
        elif not self._missing and (waiting := self._waiting) is not None:
            reply = b"".join(self._chunks)
            self._chunks, self._size, self._waiting = [], 0, None
            waiting.callback(reply)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail what is under way."""
        self._fail(reason)

    def close(self) -> None:
        """Close the connection at once."""
        self._fail(Failure(ConnectionDone()))

    def _forget(self) -> None:
        self._waiting = None
        self.close()

    def _fail(self, reason: Failure) -> None:
        waiting, self._waiting, self._chunks = self._waiting, None, []
        if self._lost is None:
            self._lost = reason
            if self.transport is not None:
                self.transport.abortConnection()
        if waiting is not None:
            waiting.errback(reason)


class BulkConnection:
    """An open connection; who uses it asks one thing after the other.

    @ivar name: the server's name in messages.
    """

    def __init__(self, name: str, protocol: BulkProtocol, clock: IReactorTime, timeout_s: float) -> None:
        self.name = name
        self._protocol = protocol
        self._clock = clock
        self._timeout_s = timeout_s

    async def exchange(self, request: bytes, replies: int) -> bytes:
        """Send encoded commands, and get the bytes of their replies.

        @param replies: how many commands these are.
        @raise UplinkUnavailable: the server did not answer.
        """
        try:
            return await self._protocol.exchange(request, replies).addTimeout(self._timeout_s, self._clock)
        except TimeoutError:
            self.close()
            raise UplinkUnavailable(f"{self.name}: no answer within {self._timeout_s:g} s") from None
        except ProtocolError as error:
            raise UplinkUnavailable(f"{self.name}: {error.text}") from error
        except ConnectionClosed as error:
            raise UplinkUnavailable(f"{self.name}: the connection was lost") from error

    async def ask_all(self, *commands: Command) -> list[Any]:
        """Send commands at once; the replies: bytes, int, list, None, or a L{ServerSaidNo}.

        @raise UplinkUnavailable: the server did not answer.
        """
        request = b"".join([encode_command(*command) for command in commands])
        replies = parse_replies(await self.exchange(request, len(commands)))
        return [
            self._refusal(reply, command) if isinstance(reply, RespError) else reply
            for reply, command in zip(replies, commands, strict=True)
        ]

    def _refusal(self, reply: RespError, command: Command) -> ServerSaidNo:
        return ServerSaidNo(f"{self.name}: {command[0]!s}: {reply.text.removeprefix('ERR ')}")

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
    try:
        dial = uplink_dial(network, uplink)
    except TLSFault as error:
        raise UplinkUnavailable(f"{name}: {error}") from error
    protocol = await connected(name, dial, BulkProtocol, clock, uplink.connect_timeout_ms / 1000)
    connection = BulkConnection(name, protocol, clock, timeout_s)
    try:
        if auth := credentials_of(uplink).auth():
            (reply,) = await connection.ask_all(("AUTH", *auth))
            if isinstance(reply, ServerSaidNo):
                raise UplinkRefused(str(reply))
    except BaseException:
        connection.close()
        raise
    return connection
