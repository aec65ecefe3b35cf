"""Control connections to the old and the new server, opened beside those that carry commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisproxy.servers.connecting import connect_to
from redisproxy.switchover.watchers import Watchers

if TYPE_CHECKING:
    from redisproxy.config import Settings, UplinkSettings
    from redisproxy.net.network import Network
    from redisproxy.sentinel.finder import Finder
    from redisproxy.servers.redis_server import RedisServer


class BothServers:
    """The two servers of one switchover, and one control connection to each.

    @ivar old, new: the settings of their uplinks.
    @ivar new_had: the replication settings that the new server had before it was made to follow the old one.
    @ivar watchers: the sentinels that watch the old one, if they are to watch the new one.
    """

    def __init__(
        self,
        old: Settings,
        new: Settings,
        network: Network,
        clock: Any,
        new_had: dict[str, str] | None = None,
        finder: Finder | None = None,
    ) -> None:
        self.watchers = Watchers(finder, old.uplink, new.uplink)
        self.new_had = new_had if new_had is not None else {}
        self.old = old.uplink
        self.new = new.uplink
        self._network = network
        self._clock = clock
        self._at_old: RedisServer | None = None
        self._at_new: RedisServer | None = None

    @property
    def at_old(self) -> RedisServer:
        """The control connection to the old server, once L{reach_old} has opened it."""
        assert self._at_old is not None
        return self._at_old

    @property
    def at_new(self) -> RedisServer:
        """The control connection to the new server, once L{reach_new} has opened it."""
        assert self._at_new is not None
        return self._at_new

    async def reach_old(self) -> RedisServer:
        """Open the control connection to the old server; one that was open before is closed.

        @raise UplinkError: the server can't be reached.
        """
        if self._at_old is not None:
            self._at_old.close()
        self._at_old = await self.open_old()
        return self._at_old

    async def reach_new(self) -> RedisServer:
        """Open the control connection to the new server; one that was open before is closed.

        @raise UplinkError: the server can't be reached.
        """
        if self._at_new is not None:
            self._at_new.close()
        self._at_new = await self._open("new", self.new)
        return self._at_new

    async def open_old(self) -> RedisServer:
        """Open a further connection to the old server; the caller closes it.

        @raise UplinkError: the server can't be reached.
        """
        return await self._open("old", self.old)

    async def open_new(self) -> RedisServer:
        """Open a further connection to the new server; the caller closes it.

        @raise UplinkError: the server can't be reached.
        """
        return await self._open("new", self.new)

    def close(self) -> None:
        """Close the control connections."""
        for server in (self._at_old, self._at_new):
            if server is not None:
                server.close()

    async def _open(self, which: str, uplink: UplinkSettings) -> RedisServer:
        return await connect_to(uplink, f"the {which} server ({uplink.address})", self._network, self._clock)
