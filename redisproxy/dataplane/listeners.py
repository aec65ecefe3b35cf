"""The listening ports: opened all or none, closed in order, and what a reload changes of them in place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort

from redisproxy.client import ClientFactory
from redisproxy.net.tls import ServerTLS, server_tls

if TYPE_CHECKING:
    from redisproxy.dataplane.proxy import Proxy
    from redisproxy.net.network import Network


class Listeners:
    """The ports of one proxy."""

    def __init__(self, proxy: Proxy, network: Network) -> None:
        self._proxy = proxy
        self._network = network
        self.ports: list[IListeningPort] = []
        self._admin: list[IListeningPort] = []

    def open(self, site: Any) -> None:
        """Bind every address of the configuration.

        @raise twisted.internet.error.CannotListenError: one can't be bound; the others are closed again.
        """
        try:
            self._open(site)
        except Exception:
            for port in [*self.ports, *self._admin]:
                port.stopListening()
            raise

    def _open(self, site: Any) -> None:
        proxy, settings = self._proxy, self._proxy.settings
        for endpoint in settings.listen:
            auth = proxy.authenticator(endpoint)
            factory = ClientFactory(proxy.core, proxy.registry, auth, endpoint.tcp_keepalive, endpoint.addr)
            proxy.client_factories.append(factory)
            self.ports.append(self._listen(endpoint, factory))
        for raw in settings.listen_raw:
            self.ports.append(self._listen(raw, proxy.raw))
        if settings.admin is not None:
            self._admin.append(self._listen(settings.admin, site))

    def _listen(self, endpoint: Any, factory: Any) -> IListeningPort:
        timeout_s = self._proxy.settings.limits.handshake_timeout_ms / 1000
        tls: ServerTLS | None = server_tls(endpoint, timeout_s) if endpoint.tls else None
        self._proxy.server_tls.append(tls)
        return self._network.listen(endpoint.address, factory, tls, endpoint.backlog)

    async def close_clients(self) -> None:
        """Accept no more clients."""
        ports, self.ports = self.ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)

    async def close_admin(self) -> None:
        """Close the admin port."""
        ports, self._admin = self._admin, []
        for port in ports:
            await maybeDeferred(port.stopListening)
