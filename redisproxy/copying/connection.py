"""A connection for copying: many commands at once, replies as they are or parsed, nothing held beyond what was asked."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from redisproxy.config.certificates import TLSFault
from redisproxy.copying.endpoint import Command
from redisproxy.forwarding.twins import ReplyScanner
from redisproxy.net.dialing import uplink_dial
from redisproxy.net.errors import UplinkError, UplinkUnavailable
from redisproxy.resp import ProtocolError, RespError, encode_command, parse_replies
from redisproxy.servers.control_connection import Arg, ServerSaidNo
from redisproxy.servers.credentials import credentials_of

if TYPE_CHECKING:
    from redisproxy.config import UplinkSettings
    from redisproxy.net.network import Network

ANSWER_S = 60.0
"""How long an answer may take: reading or writing a value of some hundred MB takes seconds."""


class Replies(Protocol):
    """The protocol: knows how many replies belong to what was sent, and hands them over as the bytes that came."""

    def __init__(self) -> None:
        self.ended = False
        self._scanner = ReplyScanner()
        self._waiting: deque[tuple[int, Deferred[bytes]]] = deque()
        self._left = 0
        self._parts: list[bytes] = []

    def send(self, data: bytes, count: int) -> Deferred[bytes]:
        """Send commands that have `count` replies; fires with these.

        @raise UplinkUnavailable: the connection is lost first.
        """
        replies: Deferred[bytes] = Deferred(lambda _: self._end("what was asked is not wanted any more"))
        if self.ended or self.transport is None:
            replies.errback(UplinkUnavailable("the connection was lost"))
            return replies
        if not self._waiting:
            self._left = count
        self._waiting.append((count, replies))
        self.transport.write(data)
        return replies

    def dataReceived(self, data: bytes) -> None:
        """Part of C{IProtocol}."""
        try:
            self._take(data)
        except ProtocolError as error:
            self._end(f"it answered with something that is no Redis protocol: {error}")

    def _take(self, data: bytes) -> None:
        at = 0
        while at < len(data) and not self.ended:
            if not self._waiting:
                raise ProtocolError("more than was asked for")
            end, done = self._scanner.scan(data, at, self._left)
            self._parts.append(data[at:end])
            at = end
            self._left -= done
            if not self._left:
                self._complete()

    def _complete(self) -> None:
        _, replies = self._waiting.popleft()
        whole = b"".join(self._parts)
        self._parts.clear()
        self._left = self._waiting[0][0] if self._waiting else 0
        if not replies.called:
            replies.callback(whole)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Part of C{IProtocol}."""
        self._end("the connection was lost")

    def _end(self, why: str) -> None:
        if self.ended:
            return
        self.ended = True
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()
        waiting, self._waiting = self._waiting, deque()
        for _, replies in waiting:
            if not replies.called:
                replies.errback(UplinkUnavailable(why))

    def close(self) -> None:
        """Close the connection."""
        self._end("the connection was closed")


class CopyConnection:
    """Implements L{endpoint.Asks}, and sends what is encoded already.

    @ivar name: the server's name in messages. @ivar db: the database that is selected.
    """

    def __init__(self, name: str, protocol: Replies, clock: IReactorTime) -> None:
        self.name = name
        self.db = 0
        self._protocol = protocol
        self._clock = clock

    def send(self, data: bytes, count: int) -> Deferred[bytes]:
        """Send commands that have `count` replies; fires with the bytes of these.

        @raise UplinkUnavailable: the server did not answer.
        """
        replies = self._protocol.send(data, count).addTimeout(ANSWER_S, self._clock)
        return replies.addErrback(self._lost)

    def _lost(self, failure: Failure) -> None:
        self.close()
        if failure.check(CancelledError):
            failure.raiseException()
        late = failure.check(TimeoutError)
        why = f"no answer within {ANSWER_S:g} s" if late else failure.getErrorMessage()
        raise UplinkUnavailable(f"{self.name}: {why}") from None

    async def ask_all(self, *commands: Command) -> list[Any]:
        """Part of L{endpoint.Asks}."""
        if not commands:
            return []
        data = await self.send(b"".join([encode_command(*each) for each in commands]), len(commands))
        return self.parsed(data, commands)

    def parsed(self, data: bytes, commands: tuple[Command, ...]) -> list[Any]:
        """The replies to these commands.

        @raise UplinkUnavailable: they are none.
        """
        try:
            replies = parse_replies(data)
        except ProtocolError as error:
            self.close()
            raise UplinkUnavailable(f"{self.name}: {error}") from None
        return [self._told(each, command) for each, command in zip(replies, commands, strict=True)]

    def _told(self, reply: object, command: Command) -> Any:
        if not isinstance(reply, RespError):
            return reply
        return ServerSaidNo(f"{self.name}: {_text(command[0])}: {reply.text.removeprefix('ERR ').strip()}")

    async def ask(self, *command: Arg) -> Any:
        """Send one command.

        @raise ServerSaidNo: the server answered with an error. @raise UplinkUnavailable: it did not answer.
        """
        (reply,) = await self.ask_all(command)
        if isinstance(reply, ServerSaidNo):
            raise reply
        return reply

    async def select(self, db: int) -> None:
        """Go to another database, unless it is this one already.

        @raise ServerSaidNo: the server refuses it.
        """
        if db != self.db:
            await self.ask("SELECT", db)
            self.db = db

    def close(self) -> None:
        """Close the connection; what has no answer yet fails."""
        self._protocol.close()


async def open_copy_connection(uplink: UplinkSettings, name: str, network: Network, clock: Any) -> CopyConnection:
    """Log in at the server in `uplink`, which messages call `name`.

    @raise UplinkError: it can't be had.
    """
    connection = CopyConnection(name, await connected(uplink, name, network, clock, Replies), clock)
    try:
        if auth := credentials_of(uplink).auth():
            await connection.ask("AUTH", *auth)
    except BaseException:
        connection.close()
        raise
    return connection


async def connected(uplink: UplinkSettings, name: str, network: Network, clock: Any, protocol: Any) -> Any:
    """Connect a protocol that `protocol` makes to the server in `uplink`.

    @raise UplinkUnavailable: it can't be reached.
    """
    limit_s = uplink.connect_timeout_ms / 1000
    try:
        return await uplink_dial(network, uplink)(protocol).addTimeout(limit_s, clock)
    except TimeoutError:
        raise UplinkUnavailable(f"{name}: no connection within {limit_s:g} s") from None
    except TLSFault as error:
        raise UplinkUnavailable(f"{name}: {error}") from error
    except (UplinkError, CancelledError):
        raise
    except Exception as error:
        raise UplinkUnavailable(f"{name}: {Failure(error).getErrorMessage()}") from error


def _text(name: Arg) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
