"""The ports of the admin pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater

from redisproxy.net.listening import OwnSockets, Sockets, open_ports

if TYPE_CHECKING:
    from redisproxy.admin.site import BoundedSite
    from redisproxy.config import AdminSettings
    from redisproxy.net.network import Network


LAST_ANSWERS_S = 0.05
"""A process that ends at once takes along what was written in its last turn."""


class AdminPorts:
    """Accepts for the admin site.

    @param endpoint: None for a proxy without admin pages. @param tls: its certificate, if it has one.
    """

    def __init__(
        self, network: Network, endpoint: AdminSettings | None, site: BoundedSite, tls: Any, clock: Any
    ) -> None:
        self._network = network
        self._clock = clock
        self._endpoint = endpoint
        self._site = site
        self._tls = tls
        self._sockets = OwnSockets([] if endpoint is None else [endpoint.address])
        self._ports: list[IListeningPort] = []

    def take(self, sockets: Sockets) -> None:
        """Have these sockets, of which those of the admin pages are this object's from now on."""
        self._sockets.take(sockets)

    def resume(self) -> None:
        """Accept, at first and again after L{pause}."""
        if self._endpoint is not None and self._sockets and not self._ports:
            sockets = self._sockets.at(self._endpoint.address)
            self._ports = open_ports(self._network, sockets, self._site, self._tls)

    async def pause(self) -> None:
        """Accept nobody for now; connections that there are stay."""
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)

    async def close(self) -> None:
        """Accept nobody any more, and listen no more; fire when the last answers have had time to leave."""
        await self.pause()
        self._site.leave()
        self._sockets.close()
        if self._endpoint is not None:
            await deferLater(self._clock, LAST_ANSWERS_S)

    async def leave(self) -> None:
        """Accept nobody any more: another process goes on listening."""
        await self.pause()
        self._site.leave()
        self._sockets.leave()
