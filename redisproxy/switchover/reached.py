"""How every preflight begins: both servers are reached, neither is a proxy, and both tell their state."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from redisproxy.switchover import preflight
from redisproxy.switchover.failure import refuse

if TYPE_CHECKING:
    from redisproxy.servers.redis_server import RedisServer
    from redisproxy.servers.state import ServerState
    from redisproxy.switchover.both_servers import BothServers


class Reached(NamedTuple):
    """The control connections to both servers, and their states."""

    at_old: RedisServer
    at_new: RedisServer
    old: ServerState
    new: ServerState


async def reach(servers: BothServers) -> Reached:
    """Connect to both.

    @raise SwitchoverFailed: one is a redisproxy. @raise UplinkError: one can't be reached.
    """
    at_old, at_new = await servers.reach_old(), await servers.reach_new()
    refuse(preflight.proxy_faults(await at_old.is_redisproxy(), await at_new.is_redisproxy()))
    return Reached(at_old, at_new, await at_old.state(), await at_new.state())
