"""The two servers of one copy, with the connection for keys to each, and what they have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisproxy.copying.bulk_connection import BulkConnection, open_bulk
from redisproxy.copying.endpoint import Endpoint, endpoint
from redisproxy.copying.trial import Trial, Way, try_types
from redisproxy.servers.control_connection import ServerSaidNo
from redisproxy.servers.state import ServerState, parse_info

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.net.network import Network

ANSWER_S = 60.0
"""How long an answer may take: reading or writing a large value takes seconds."""


class CopiedServers:
    """Both servers, logged in.

    @ivar old, new: the connections. @ivar source, target: the same, with what each can do.
    @ivar trial: how values of each type come across.
    """

    def __init__(self, old: BulkConnection, new: BulkConnection, ends: tuple[Endpoint, Endpoint], trial: Trial) -> None:
        self.old = old
        self.new = new
        self.source, self.target = ends
        self.trial = trial
        self._used: set[int] = set()

    @property
    def not_restored(self) -> frozenset[str]:
        """The types of which no value is restored."""
        return frozenset(kind for kind, way in self.trial.ways.items() if way is not Way.RESTORE)

    async def databases(self) -> list[int]:
        """The databases that keys may be in: those in use now, at either server, and those that were before.

        A name that was taken from the changes before this call is in one of them, or in none any more.

        @raise UplinkError: a server does not answer.
        """
        for server in (self.old, self.new):
            self._used |= (await keyspace(server)).keys()
        return sorted(self._used)

    async def select(self, db: int) -> None:
        """Go to this database at both servers.

        @raise UplinkError: a server does not answer, or does not have it.
        """
        await self.old.select(db)
        await self.new.select(db)

    def close(self) -> None:
        """Close both connections."""
        self.old.close()
        self.new.close()


async def open_servers(old: Settings, new: Settings, network: Network, clock: Any) -> CopiedServers:
    """Log in at both servers, and try how values come across.

    @raise UplinkError: a server can't be reached.
    """
    at_old = await open_bulk(old.uplink, f"the old server ({old.uplink.address})", network, clock, ANSWER_S)
    try:
        at_new = await open_bulk(new.uplink, f"the new server ({new.uplink.address})", network, clock, ANSWER_S)
    except BaseException:
        at_old.close()
        raise
    try:
        ends = await endpoint(at_old), await endpoint(at_new)
        return CopiedServers(at_old, at_new, ends, await try_types(*ends))
    except BaseException:
        at_old.close()
        at_new.close()
        raise


async def state_of(server: BulkConnection) -> ServerState:
    """The server's state, from INFO.

    @raise UplinkError: it does not answer.
    """
    return ServerState(_fields(await server.ask("INFO")))


async def commands_of(server: BulkConnection) -> int | None:
    """How many commands the server has carried out, this one not counted; None if it does not tell.

    @raise UplinkError: it does not answer.
    """
    try:
        text = _fields(await server.ask("INFO", "stats")).get("total_commands_processed", "")
    except ServerSaidNo:
        return None
    return int(text) if text.isdigit() else None


def _fields(info: object) -> dict[str, str]:
    return parse_info(info.decode("utf-8", "replace") if isinstance(info, bytes) else "")


async def keyspace(server: BulkConnection) -> dict[int, int]:
    """The number of keys in each database that has any.

    @raise UplinkError: the server does not answer.
    """
    return (await state_of(server)).keys_by_db
