"""A control connection to a Redis server, beside those of clients: every question has a deadline. Uses txredisapi.

Switchovers and the search for the primary use it, so that they wait neither for the gate nor for clients' commands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import txredisapi
from twisted.internet.defer import CancelledError, Deferred, FirstError, TimeoutError, gatherResults
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from redisproxy.net.errors import UplinkError, UplinkRefused, UplinkUnavailable

if TYPE_CHECKING:
    from redisproxy.uplink.login import CredentialSource

Connect = Callable[[Callable[[], Any]], "Deferred[Any]"]
Arg = bytes | str | int


class ControlProtocol(txredisapi.RedisProtocol):  # type: ignore[misc]
    """The protocol of a control connection; replies are bytes, integers and lists.

    @param clock: schedules the timeouts of txredisapi.
    """

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__(charset=None, convertNumbers=False)
        self.callLater = clock.callLater


class ServerSaidNo(UplinkRefused):
    """The server answered a command with an error; C{str()} is its text."""


class ControlConnection:
    """An open control connection.

    @ivar name: the server's name in messages.
    """

    def __init__(self, name: str, protocol: Any, clock: IReactorTime, timeout_s: float) -> None:
        self.name = name
        self._protocol = protocol
        self._clock = clock
        self._timeout_s = timeout_s

    async def ask(self, *command: Arg) -> Any:
        """Send one command.

        @raise ServerSaidNo: the server answered with an error.
        @raise UplinkUnavailable: the server did not answer.
        """
        (reply,) = await self.ask_all(command)
        if isinstance(reply, ServerSaidNo):
            raise reply
        return reply

    async def ask_all(self, *commands: tuple[Arg, ...]) -> list[Any]:
        """Send several commands at once; an error that the server answers is an item of the result, a L{ServerSaidNo}.

        @raise UplinkUnavailable: the server did not answer.
        """
        try:
            answers = [self._protocol.execute_command(*command) for command in commands]
            for answer, command in zip(answers, commands, strict=True):
                answer.addErrback(self._refused, str(command[0]))
            replies: list[Any] = await gatherResults(answers, consumeErrors=True).addTimeout(
                self._timeout_s, self._clock, _timed_out
            )
        except Exception as error:
            self.close()
            cause = error.subFailure.value if isinstance(error, FirstError) else error
            if isinstance(cause, CancelledError):
                raise cause from None
            raise UplinkUnavailable(f"{self.name}: {_lost(cause, self._timeout_s)}") from error
        return replies

    def _refused(self, failure: Failure, command: str) -> ServerSaidNo:
        failure.trap(txredisapi.ResponseError)
        text = str(failure.value).removeprefix("ERR ").strip()
        return ServerSaidNo(f"{self.name}: {command}: {text}")

    def close(self) -> None:
        """Close the connection; commands without an answer fail."""
        transport = self._protocol.transport
        if transport is not None and self._protocol.connected:
            transport.abortConnection()


T = TypeVar("T", bound=ControlConnection)


async def open_connection(
    kind: type[T], name: str, connect: Connect, source: CredentialSource, clock: IReactorTime, timeout_s: float
) -> T:
    """Open a control connection and log in.

    @param kind: the class of the result.
    @param name: the server's name in messages.
    @param connect: opens one transport, for the protocol that the given callable makes.
    @param source: what to log in with.
    @param timeout_s: the limit for connecting, and later for each answer.
    @raise UplinkError: the server can't be reached, or refuses the password.
    """
    credentials = await source.ask()
    protocol = await connected(name, connect, lambda: ControlProtocol(clock), clock, timeout_s)
    connection = kind(name, protocol, clock, timeout_s)
    try:
        if auth := credentials.auth():
            await connection.ask("AUTH", *auth)
    except BaseException as error:
        if isinstance(error, ServerSaidNo):
            source.refused(credentials)
        connection.close()
        raise
    return connection


async def connected(name: str, connect: Connect, make: Callable[[], Any], clock: IReactorTime, timeout_s: float) -> Any:
    """Open one transport; the protocol, which `make` makes. Parameters as for L{open_connection}.

    @raise UplinkError: the server can't be reached.
    """
    try:
        return await connect(make).addTimeout(timeout_s, clock)
    except TimeoutError:
        raise UplinkUnavailable(f"{name}: no connection within {timeout_s:g} s") from None
    except (UplinkError, CancelledError):
        raise
    except Exception as error:
        raise UplinkUnavailable(f"{name}: {Failure(error).getErrorMessage()}") from error


def _timed_out(_: object, timeout_s: float) -> Failure:
    return Failure(TimeoutError(timeout_s, "timeout"))


def _lost(error: BaseException | None, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, (txredisapi.ConnectionError, ConnectionClosed)):
        return "the connection was lost"
    return str(error) or type(error).__name__
