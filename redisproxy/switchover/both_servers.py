"""Control connections to the old and the new server, opened beside those that carry commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisproxy.servers.connecting import connect_to
from redisproxy.servers.credentials import credentials_of
from redisproxy.switchover.hooks import Hooks
from redisproxy.switchover.watchers import Watchers

if TYPE_CHECKING:
    from redisproxy.config import Settings, UplinkSettings
    from redisproxy.config.hooks import HooksSettings
    from redisproxy.net.network import Network
    from redisproxy.sentinel.finder import Finder
    from redisproxy.servers.redis_server import RedisServer
    from redisproxy.switchover.effects import Effects
    from redisproxy.switchover.report import SwitchoverReport


class BothServers:
    """The two servers of one switchover, and one control connection to each.

    @ivar old, new: the settings of their uplinks.
    @ivar new_had: the replication settings that the new server had before it was made to follow the old one.
    @ivar left: the run id with which the new server was left behind its fence, by a switchover from there; else empty.
    @ivar watchers: the sentinels that watch the old one, if they are to watch the new one.
    """

    def __init__(
        self,
        old: Settings,
        new: Settings,
        network: Network,
        clock: Any,
        new_had: dict[str, str] | None = None,
        left: str = "",
        finder: Finder | None = None,
    ) -> None:
        self.left = left
        self.watchers = Watchers(finder, old.uplink, new.uplink, network)
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

    def hooks(self, settings: HooksSettings, report: SwitchoverReport, effects: Effects) -> Hooks:
        """The hooks of the switchover between the two."""
        return Hooks(settings, self.old, self.new, report, effects, self._network.run_program, self._clock)

    async def login_at(self, uplink: UplinkSettings) -> tuple[str | None, str | None]:
        """User and password, for somebody else who is to log in at one of the two as the proxy does.

        @raise UplinkError: there is no password to be had.
        """
        credentials = await credentials_of(uplink, self._network).ask()
        return credentials.user, credentials.password

    def close(self) -> None:
        """Close the control connections."""
        for server in (self._at_old, self._at_new):
            if server is not None:
                server.close()

    async def _open(self, which: str, uplink: UplinkSettings) -> RedisServer:
        return await connect_to(uplink, f"the {which} server ({uplink.address})", self._network, self._clock)
