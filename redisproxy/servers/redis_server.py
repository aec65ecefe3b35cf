"""What a switchover asks a Redis server and tells it: its state, to follow, the fence, to be promoted.

Nothing here is on a command's path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from redisproxy.net.errors import UplinkRefused
from redisproxy.servers.control_connection import Arg, Connect, ControlConnection, ServerSaidNo, open_connection
from redisproxy.servers.fence import fence_commands, unfence_commands
from redisproxy.servers.state import ServerState, parse_info

if TYPE_CHECKING:
    from redisproxy.uplink.login import Credentials

# A write that passes every check of the server and changes nothing: SETRANGE with an empty value creates no key
# (https://redis.io/docs/latest/commands/setrange/).
_PROBE = ("SETRANGE", "__redisproxy:probe", 0, "")


class RedisServer(ControlConnection):
    """A Redis server behind a control connection. Every method that asks raises L{UplinkError}."""

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
        """Refuse writes from now on, whoever sends them; the data stays. A fence that is there already stays as it is.

        Scripts of servers before Redis 7 do not look at the fence, so that writes are paused as well for `pause_ms`.

        @return: what it says of its replication, sampled after the fence.
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
        """Take writes again, as before the fence.

        @param state: it says what the value before was; must have been asked for while the fence was there.
        """
        for reply in await self.ask_all(*unfence_commands(state.min_replicas), ("CLIENT", "UNPAUSE")):
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


async def open_control(
    name: str, connect: Connect, credentials: Credentials, clock: IReactorTime, timeout_s: float
) -> RedisServer:
    """Open a control connection to a Redis server and log in; see L{open_connection}."""
    return await open_connection(RedisServer, name, connect, credentials, clock, timeout_s)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _config_int(reply: object) -> int | None:
    """The value in a CONFIG GET of one number; None when the server does not tell."""
    if isinstance(reply, list) and len(reply) == 2 and _text(reply[1]).isdigit():
        return int(_text(reply[1]))
    return None
