"""Control connections to the old and the new server, opened beside those that carry commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisproxy.net.dialing import uplink_dial
from redisproxy.servers.credentials import credentials_of
from redisproxy.servers.redis_server import RedisServer, open_control

if TYPE_CHECKING:
    from redisproxy.config import Settings, UplinkSettings
    from redisproxy.net.network import Network


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
        name, timeout_s = f"the {which} server ({uplink.address})", uplink.connect_timeout_ms / 1000
        dial = uplink_dial(self._network, uplink)
        return await open_control(name, dial, credentials_of(uplink), self._clock, timeout_s)
