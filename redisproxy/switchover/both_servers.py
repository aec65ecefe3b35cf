"""Control connections to the old and the new server, beside those that carry commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisproxy.servers.connecting import connect_to

if TYPE_CHECKING:
    from redisproxy.config import Settings, UplinkSettings
    from redisproxy.net.transports import Network
    from redisproxy.servers.redis_server import RedisServer


class BothServers:
    """The two servers of one switchover; each has at most one connection that is kept.

    @ivar old_uplink, new_uplink: where they are.
    """

    def __init__(self, old: Settings, new: Settings, network: Network, clock: Any) -> None:
        self.old_uplink = old.uplink
        self.new_uplink = new.uplink
        self._network = network
        self._clock = clock
        self._old: RedisServer | None = None
        self._new: RedisServer | None = None

    @property
    def old(self) -> RedisServer:
        """The old one, which has been reached."""
        assert self._old is not None
        return self._old

    @property
    def new(self) -> RedisServer:
        """The new one, which has been reached."""
        assert self._new is not None
        return self._new

    async def open_old(self) -> RedisServer:
        """One more connection to the old server.

        @raise UplinkError: it can't be had.
        """
        return await self._open("old", self.old_uplink)

    async def open_new(self) -> RedisServer:
        """One more connection to the new server.

        @raise UplinkError: it can't be had.
        """
        return await self._open("new", self.new_uplink)

    async def reach_old(self, anew: bool = True) -> RedisServer:
        """Connect to the old server, in the place of the connection before, if there is any.

        @param anew: do so also when there is one.
        @raise UplinkError: it can't be had.
        """
        if self._old is not None and not anew:
            return self._old
        if self._old is not None:
            self._old.close()
        self._old = await self.open_old()
        return self._old

    async def reach_new(self, anew: bool = True) -> RedisServer:
        """The same for the new server."""
        if self._new is not None and not anew:
            return self._new
        if self._new is not None:
            self._new.close()
        self._new = await self.open_new()
        return self._new

    async def _open(self, which: str, uplink: UplinkSettings) -> RedisServer:
        return await connect_to(uplink, f"the {which} server ({uplink.address})", self._network, self._clock)

    def close(self) -> None:
        """Give the connections up."""
        for server in (self._old, self._new):
            if server is not None:
                server.close()
