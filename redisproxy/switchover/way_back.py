"""The step way back: after the swap, the old server follows the new one, so that going back takes milliseconds, too.

It stays fenced all the time: as a replica it takes no writes, and it takes none either when it stops being one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from redisproxy.net.errors import UplinkError
from redisproxy.switchover import preflight
from redisproxy.switchover.replica_setup import ReplicaSetup

if TYPE_CHECKING:
    from redisproxy.config import SwitchoverSettings
    from redisproxy.servers.redis_server import RedisServer
    from redisproxy.servers.state import ServerState
    from redisproxy.switchover.both_servers import BothServers
    from redisproxy.switchover.preflight import Source
    from redisproxy.switchover.report import Report

_EXCHANGED = "the other way round, where the two servers change their names"


class NoWayBack(Exception):
    """The old server can't follow the new one; C{str()} says why."""


@dataclass(frozen=True)
class WayBack:
    """Whether the old server follows the new one.

    @ivar why_not: why not; empty if it does.
    @ivar source: where it replicates from. @ivar setup: what was set for that, and how to set it back.
    @ivar risk: what an operator should know of it although it follows; empty if nothing.
    @ivar left: the run id of the old server, if it was left behind its fence; empty if it was not. For as long as it
        has both, nobody has written there.
    @ivar found: it was found again after a restart, or a peer has made it follow; what was set before is not known.
    """

    why_not: str = ""
    source: Source | None = None
    setup: ReplicaSetup | None = field(default=None, repr=False)
    risk: str = ""
    left: str = ""
    found: bool = False

    @property
    def follows(self) -> bool:
        """Whether the old server follows the new one."""
        return self.setup is not None

    def warnings(self) -> list[str]:
        """For the report."""
        why_not = ""
        if self.why_not:
            why_not = f"the old server does not follow the new one (switchover.keep_way_back): {self.why_not}"
        return [text for text in (why_not, self.risk) if text]

    def as_report(self) -> Report:
        """For the report."""
        source = asdict(self.source) if self.source is not None else None
        return {"follows": self.follows, "why_not": self.why_not, "replicates_from": source}


async def left_behind(servers: BothServers) -> WayBack:
    """What the old server is when the clients have left it, and it does not follow. Nothing fails here."""
    try:
        state = await (await servers.reach_old()).state()
    except UplinkError:
        return WayBack()
    return WayBack(left=state.run_id if state.fenced and state.role == "master" else "")


async def keep_way_back(servers: BothServers, settings: SwitchoverSettings, way: WayBack) -> WayBack:
    """Have the old server follow the new one, if it can. Clients are at work on the new one; nothing fails here.

    @param way: what the old server is now.
    """
    try:
        at_old = await servers.reach_old()
        source, setup = await _prepared(servers, at_old, settings)
        try:
            await setup.begin(at_old)
        except UplinkError:
            await setup.restore(at_old)
            raise
        return WayBack(source=source, setup=setup, risk=await _risk(servers.at_new))
    except (NoWayBack, UplinkError) as error:
        return replace(way, why_not=str(error))


async def _risk(at_new: RedisServer) -> str:
    replies = await at_new.ask_all(("CONFIG", "GET", "save"), ("CONFIG", "GET", "appendonly"))
    if [reply[1:] for reply in replies if isinstance(reply, list)] != [[b""], [b"no"]]:
        return ""
    return (
        "the new server has no persistence (save, appendonly): if it is restarted it comes back empty, and the old one,"
        " which follows it, is emptied too"
    )


async def _prepared(
    servers: BothServers, at_old: RedisServer, settings: SwitchoverSettings
) -> tuple[Source, ReplicaSetup]:
    """
    @raise NoWayBack: it can't follow. @raise UplinkError: a server does not answer.
    """
    old, new = await at_old.state(), await servers.at_new.state()
    if reason := preflight.unreadable(new, old):
        raise NoWayBack(f"{old.product} can't be sure to read the data of {new.product}: {reason}")
    if not old.fenced or old.role != "master":
        raise NoWayBack("the old server bears no fence, so that it may have got data of its own")
    source = _source(servers, new, settings)
    setup = ReplicaSetup(source, *await servers.login_at(servers.new))
    if faults := await setup.faults(servers.open_new, at_old):
        raise NoWayBack(f"{_EXCHANGED}: {'; '.join(faults)}")
    return source, setup


def _source(servers: BothServers, new: ServerState, settings: SwitchoverSettings) -> Source:
    try:
        return preflight.source_of(new, servers.new, servers.old.address, settings.way_back_from_address)
    except ValueError:
        raise NoWayBack(
            f"the old server can't reach the new one at {servers.new.address}: set switchover.way_back_from to where"
            " it can"
        ) from None
