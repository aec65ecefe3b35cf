"""A Redis server as a switchover sees it: asked for its state, told to follow, fenced, promoted.

C{redisproxy unfence} and the look at the server at the start use it, too. Nothing here is on a command's path.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from redisproxy.net.errors import UplinkRefused
from redisproxy.servers.control_connection import Arg, Connect, ControlConnection, ServerSaidNo, open_connection
from redisproxy.servers.fence import fence_commands, fence_value, unfence_commands
from redisproxy.servers.state import ServerState, parse_info

if TYPE_CHECKING:
    from redisproxy.uplink.login import CredentialSource

# A write that passes every check of the server and changes nothing: SETRANGE with an empty value creates no key
# (https://redis.io/docs/latest/commands/setrange/).
_PROBE = ("SETRANGE", "__redisproxy:probe", 0, "")


class RedisServer(ControlConnection):
    """A Redis server behind a control connection. Every method but C{close} may raise L{UplinkError}."""

    # -- looking

    async def state(self) -> ServerState:
        """The server's state, as it says it now."""
        info, databases, fence, lag, tls_port, rdb_check = await self.ask_all(
            ("INFO",),
            ("CONFIG", "GET", "databases"),
            ("CONFIG", "GET", "min-replicas-to-write"),
            ("CONFIG", "GET", "min-replicas-max-lag"),
            ("CONFIG", "GET", "tls-port"),
            ("CONFIG", "GET", "rdb-version-check"),
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
            reads_newer=isinstance(rdb_check, list) and rdb_check[1:] == [b"relaxed"],
        )

    async def replication(self) -> ServerState:
        """Like L{state}, with the fields of C{INFO replication} only."""
        return ServerState(parse_info(_text(await self.ask("INFO", "replication"))))

    async def replica(self) -> ServerState:
        """Like L{replication}, with the errors that it has answered its primary."""
        replies = await self.ask_all(("INFO", "replication"), ("INFO", "stats"))
        for reply in replies:
            if isinstance(reply, ServerSaidNo):
                raise reply
        return ServerState(parse_info("\n".join(map(_text, replies))))

    async def is_redisproxy(self) -> bool:
        """Whether this is another redisproxy instead of a server: a proxy answers CLIENT HELP itself."""
        (reply,) = await self.ask_all(("CLIENT", "HELP"))
        return isinstance(reply, list) and any("answered by redisproxy" in _text(line) for line in reply)

    # -- changing

    async def follow(self, host: str, port: int) -> None:
        """Make it a replica of the server at this address; its own data is replaced."""
        await self.ask("REPLICAOF", host, port)

    async def stop_following(self, state: ServerState) -> None:
        """Have a replica follow no more, behind a fence: it takes no writes afterwards either.

        @param state: its state.
        @raise ServerSaidNo: it refuses that.
        """
        fence = [] if state.fenced else fence_commands(state.min_replicas, state.max_lag)
        for command in (*fence, ("REPLICAOF", "NO", "ONE")):
            await self.ask(*command)

    async def promote(self, lift: ServerState | None = None) -> None:
        """Make it a primary and check that it takes writes, in one round trip.

        @param lift: its own state if it is fenced, because it was the old server of a former switchover.
        @raise UplinkRefused: it is still a replica, or takes no writes.
        """
        unfence = [] if lift is None or not lift.fenced else unfence_commands(lift.min_replicas)
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
        """Make it refuse writes from now on, whoever sends them; a fence that is there already stays as it is.

        Scripts on servers before Redis 7 ignore the fence, so writes are paused for `pause_ms` as well.

        @return: the state of its replication, sampled behind the fence.
        """
        commands: list[tuple[Arg, ...]] = [("CLIENT", "PAUSE", pause_ms, "WRITE")]
        if not state.fenced:
            commands += fence_commands(state.min_replicas, state.max_lag)
        _paused, *replies = await self.ask_all(*commands, ("INFO", "replication"))
        for reply in replies:
            if isinstance(reply, ServerSaidNo):
                raise reply
        return ServerState(parse_info(_text(replies[-1])))

    async def unfence(self, state: ServerState) -> None:
        """Make it take writes again, as before the fence.

        @param state: its state from a moment when it was fenced: that says what was before.
        """
        for reply in await self.ask_all(*unfence_commands(state.min_replicas), ("CLIENT", "UNPAUSE")):
            if isinstance(reply, ServerSaidNo) and "CONFIG" in str(reply):
                raise reply

    async def take_back_fence(self, before: ServerState) -> None:
        """Lift a fence that was put up, or may have been, without asking for it.

        @param before: its state from a moment when it was not fenced.
        @raise ServerSaidNo: it takes no CONFIG SET.
        """
        await self.unfence(replace(before, min_replicas=fence_value(before.min_replicas, before.max_lag)))

    async def fence_again(self, state: ServerState) -> None:
        """Put up the fence that was there at the moment of `state`.

        @raise ServerSaidNo: it refuses that.
        """
        await self.ask("CONFIG", "SET", "min-replicas-to-write", state.min_replicas)

    async def pause_writes(self, pause_ms: int) -> None:
        """Have all writers wait, for `pause_ms` at the most.

        @raise ServerSaidNo: it refuses that.
        """
        await self.ask("CLIENT", "PAUSE", pause_ms, "WRITE")

    async def end_pause(self) -> None:
        """Let paused writers go on; behind the fence they get its error."""
        await self.ask_all(("CLIENT", "UNPAUSE"))

    async def probe_write(self) -> None:
        """Check that it takes writes.

        @raise ServerSaidNo: it does not; the text is the server's.
        """
        await self.ask(*_PROBE)

    async def set_config(self, name: str, value: str) -> str:
        """Set one setting; the value that it had before.

        @raise ServerSaidNo: the server lacks the setting, or does not allow the change.
        """
        before = await self.ask("CONFIG", "GET", name)
        await self.ask("CONFIG", "SET", name, value)
        return _text(before[1]) if before else ""


async def open_control(
    name: str, connect: Connect, source: CredentialSource, clock: IReactorTime, timeout_s: float
) -> RedisServer:
    """Open a control connection to a Redis server and log in; see L{open_connection}."""
    return await open_connection(RedisServer, name, connect, source, clock, timeout_s)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _config_int(reply: object) -> int | None:
    """The value in a CONFIG GET of one number; None when the server does not tell."""
    if isinstance(reply, list) and len(reply) == 2 and _text(reply[1]).isdigit():
        return int(_text(reply[1]))
    return None
