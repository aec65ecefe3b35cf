"""The few commands that move the data: look, follow, fence, promote.

Nothing here is on a command's path. A switchover speaks with the old and the new server over control connections of its
own (txredisapi), beside the uplink connections, so that neither the gate nor the clients' commands are in its way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import txredisapi
from twisted.internet.defer import CancelledError, Deferred, FirstError, TimeoutError, gatherResults
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from redisproxy.net.errors import UplinkError, UplinkRefused, UplinkUnavailable
from redisproxy.servers.state import ServerState, before_fence, fence_value, parse_info

if TYPE_CHECKING:
    from redisproxy.uplink.login import Credentials

Connect = Callable[[Callable[[], Any]], "Deferred[Any]"]
Arg = bytes | str | int

# A write that passes every check of the server and changes nothing: SETRANGE with an empty value creates no key
# (https://redis.io/docs/latest/commands/setrange/).
_PROBE = ("SETRANGE", "__redisproxy:probe", 0, "")


class ControlProtocol(txredisapi.RedisProtocol):  # type: ignore[misc]
    """One control connection; replies are bytes, integers and lists.

    @param clock: what the library schedules with.
    """

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__(charset=None, convertNumbers=False)
        self.callLater = clock.callLater


class ServerSaidNo(UplinkRefused):
    """The server answered a command with an error; C{str()} is its text."""


async def open_control(
    name: str, connect: Connect, credentials: Credentials, clock: IReactorTime, timeout_s: float
) -> RedisServer:
    """Open a control connection and log in.

    @param name: how messages call the server.
    @param connect: opens one transport for the protocol that the given callable makes.
    @param timeout_s: for the connection, and later for each answer.
    @raise UplinkError: it can't be had.
    """
    try:
        protocol = await connect(lambda: ControlProtocol(clock)).addTimeout(timeout_s, clock)
    except TimeoutError:
        raise UplinkUnavailable(f"{name}: no connection within {timeout_s:g} s") from None
    except (UplinkError, CancelledError):
        raise
    except Exception as error:
        raise UplinkUnavailable(f"{name}: {Failure(error).getErrorMessage()}") from error
    server = RedisServer(name, protocol, clock, timeout_s)
    try:
        if auth := credentials.auth():
            await server.ask("AUTH", *auth)
    except BaseException:
        server.close()
        raise
    return server


class RedisServer:
    """A Redis server behind a control connection. Every method that asks raises L{UplinkError}."""

    def __init__(self, name: str, protocol: Any, clock: IReactorTime, timeout_s: float) -> None:
        self.name = name
        self._protocol = protocol
        self._clock = clock
        self._timeout_s = timeout_s

    async def ask(self, *command: Arg) -> Any:
        """Send one command.

        @raise ServerSaidNo: it answered with an error.
        @raise UplinkUnavailable: it did not answer.
        """
        (reply,) = await self.ask_all(command)
        if isinstance(reply, ServerSaidNo):
            raise reply
        return reply

    async def ask_all(self, *commands: tuple[Arg, ...]) -> list[Any]:
        """Send several commands at once. An error of the server is an item of the result, a L{ServerSaidNo}.

        @raise UplinkUnavailable: it did not answer.
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
        """Give the connection up; whatever was asked and not answered fails."""
        transport = self._protocol.transport
        if transport is not None and self._protocol.connected:
            transport.abortConnection()

    # -- looking

    async def state(self) -> ServerState:
        """What it says of itself now."""
        info, databases, fence, lag, tls_port = await self.ask_all(
            ("INFO",),
            ("CONFIG", "GET", "databases"),
            ("CONFIG", "GET", "min-replicas-to-write"),
            ("CONFIG", "GET", "min-replicas-max-lag"),
            ("CONFIG", "GET", "tls-port"),
        )
        if isinstance(info, ServerSaidNo):
            raise info
        fields = parse_info(_text(info))
        can_config = not any(isinstance(each, ServerSaidNo) for each in (databases, fence, lag))
        return ServerState(
            fields,
            databases=_config_int(databases),
            min_replicas=_config_int(fence) or 0,
            max_lag=_config_int(lag),
            tls_port=_config_int(tls_port) or 0,
            can_config=can_config,
        )

    async def replication(self) -> ServerState:
        """Like L{state}, but only what C{INFO replication} tells."""
        return ServerState(parse_info(_text(await self.ask("INFO", "replication"))))

    async def is_redisproxy(self) -> bool:
        """Whether it is no server but another redisproxy: that answers CLIENT HELP itself."""
        (reply,) = await self.ask_all(("CLIENT", "HELP"))
        return isinstance(reply, list) and any("answered by redisproxy" in _text(line) for line in reply)

    # -- changing

    async def follow(self, host: str, port: int) -> None:
        """Become a replica of the server there. Its own data is replaced."""
        await self.ask("REPLICAOF", host, port)

    async def promote(self, lift: ServerState | None = None) -> None:
        """Stop being a replica, in one round trip, and see that it takes writes.

        @param lift: the server's own state when it bears a fence, from the time when it was the old one.
        @raise UplinkRefused: it is still a replica, or takes no writes.
        """
        unfence = [] if lift is None or not lift.fenced else _unfence_commands(lift)
        promoted, *lifted, info, probe = await self.ask_all(
            ("REPLICAOF", "NO", "ONE"), *unfence, ("INFO", "replication"), _PROBE
        )
        for reply in (promoted, *lifted, info):
            if isinstance(reply, ServerSaidNo):
                raise reply
        if ServerState(parse_info(_text(info))).role != "master":
            raise UplinkRefused(f"{self.name}: it is still a replica")
        if isinstance(probe, ServerSaidNo):
            raise probe

    async def fence(self, state: ServerState, pause_ms: int) -> ServerState:
        """Refuse writes from now on, whoever sends them; the data stays. A fence that is there already stays as it is.

        Scripts of servers before Redis 7 do not look at the fence, so that writes are paused as well for `pause_ms`.

        @return: what it says of its replication, sampled after the fence.
        """
        commands: list[tuple[Arg, ...]] = [("CLIENT", "PAUSE", pause_ms, "WRITE")]
        if not state.fenced:
            if state.max_lag == 0:
                commands.append(("CONFIG", "SET", "min-replicas-max-lag", 10))
            commands.append(("CONFIG", "SET", "min-replicas-to-write", fence_value(state)))
        _paused, *replies = await self.ask_all(*commands, ("INFO", "replication"))
        for reply in replies:
            if isinstance(reply, ServerSaidNo):
                raise reply
        return ServerState(parse_info(_text(replies[-1])))

    async def unfence(self, state: ServerState) -> None:
        """Take writes again, as before the fence.

        @param state: it says what the value before was; must have been asked for while the fence was there.
        """
        for reply in await self.ask_all(*_unfence_commands(state), ("CLIENT", "UNPAUSE")):
            if isinstance(reply, ServerSaidNo) and "CONFIG" in str(reply):
                raise reply

    async def end_pause(self) -> None:
        """Let paused writers go on; with the fence in place they get its error."""
        await self.ask_all(("CLIENT", "UNPAUSE"))

    async def probe_write(self) -> None:
        """See that it takes writes.

        @raise ServerSaidNo: why not.
        """
        await self.ask(*_PROBE)

    async def set_config(self, name: str, value: str) -> str:
        """CONFIG SET; the value before.

        @raise ServerSaidNo: it does not know the setting, or does not allow it.
        """
        before = await self.ask("CONFIG", "GET", name)
        await self.ask("CONFIG", "SET", name, value)
        return _text(before[1]) if before else ""


def _timed_out(_: object, timeout_s: float) -> Failure:
    return Failure(TimeoutError(timeout_s, "timeout"))


def _unfence_commands(state: ServerState) -> list[tuple[Arg, ...]]:
    value, lag_was_off = before_fence(state.min_replicas)
    commands: list[tuple[Arg, ...]] = [("CONFIG", "SET", "min-replicas-to-write", value)]
    if lag_was_off:
        commands.append(("CONFIG", "SET", "min-replicas-max-lag", 0))
    return commands


def _lost(error: BaseException | None, timeout_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, (txredisapi.ConnectionError, ConnectionClosed)):
        return "the connection was lost"
    return str(error) or type(error).__name__


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _config_int(reply: object) -> int | None:
    """The value in a CONFIG GET of one number; None when the server does not tell."""
    if isinstance(reply, list) and len(reply) == 2 and _text(reply[1]).isdigit():
        return int(_text(reply[1]))
    return None
