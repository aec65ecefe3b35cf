"""Control connections to the old and the new server, opened beside those that carry commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisproxy.servers.connecting import connect_to

if TYPE_CHECKING:
    from redisproxy.config import Settings, UplinkSettings
    from redisproxy.net.transports import Network
    from redisproxy.servers.redis_server import RedisServer


class BothServers:
    """The two servers of one switchover.

    @ivar old, new: where they are.
    """

    def __init__(self, old: Settings, new: Settings, network: Network, clock: Any) -> None:
        self.old = old.uplink
        self.new = new.uplink
        self._network = network
        self._clock = clock

    async def open_old(self) -> RedisServer:
        """A control connection to the old server.

        @raise UplinkError: it can't be had.
        """
        return await self._open("old", self.old)

    async def open_new(self) -> RedisServer:
        """A control connection to the new server.

        @raise UplinkError: it can't be had.
        """
        return await self._open("new", self.new)

    async def _open(self, which: str, uplink: UplinkSettings) -> RedisServer:
        return await connect_to(uplink, f"the {which} server ({uplink.address})", self._network, self._clock)
