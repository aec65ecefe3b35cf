"""The ports that clients connect to: opened all or none, closed at once, and what a move changes of them in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort

from redisproxy.client import Client
from redisproxy.config.authentication import authenticator
from redisproxy.net.listening import OwnSockets, Sockets, open_ports
from redisproxy.net.tls import ServerTLS, server_tls
from redisproxy.serving import ClientFactory

if TYPE_CHECKING:
    from redisproxy import config
    from redisproxy.net.network import Network
    from redisproxy.net.raw_relay import RawFactory
    from redisproxy.shared.core import Core
    from redisproxy.shared.registry import ClientRegistry


Served = tuple["ClientFactory | RawFactory", "ServerTLS | None"]


def certificates_of(settings: config.Settings) -> list[ServerTLS | None]:
    """The TLS contexts of all listeners for clients, None for one without TLS.

    @raise TLSFault: their files can't be used.
    """
    timeout_s = settings.limits.handshake_timeout_ms / 1000
    endpoints = [*settings.listen, *settings.listen_raw]
    return [server_tls(endpoint, timeout_s) if endpoint.tls else None for endpoint in endpoints]


class Listeners:
    """The ports of one data plane. Where they listen does not change while it runs.

    @ivar ports: those that are open.
    """

    def __init__(
        self,
        settings: config.Settings,
        core: Core,
        registry: ClientRegistry[Client],
        raw: RawFactory,
        network: Network,
    ) -> None:
        """
        @raise TLSFault: the certificates can't be used.
        """
        self.ports: list[IListeningPort] = []
        self._settings = settings
        self._core = core
        self._registry = registry
        self._raw = raw
        self._network = network
        self._certificates = certificates_of(settings)
        self._factories: list[ClientFactory] = []
        self._endpoints = [*settings.listen, *settings.listen_raw]
        self._sockets = OwnSockets(each.address for each in self._endpoints)

    @property
    def listening(self) -> bool:
        """Whether clients may come; who does while nobody accepts waits in the backlog."""
        return bool(self._sockets)

    def take(self, sockets: Sockets) -> None:
        """Have these sockets, to accept from at L{resume}.

        @param sockets: those of every listener; the ones for clients are this object's from now on.
        """
        self._sockets.take(sockets)
        self.made()

    def resume(self) -> None:
        """Accept, at first and again after L{pause}."""
        for endpoint, (factory, tls) in zip(self._endpoints, self.made(), strict=True) if not self.ports else ():
            self.ports += open_ports(self._network, self._sockets.at(endpoint.address), factory, tls)

    async def pause(self) -> None:
        """Accept nobody for now: who comes waits in the backlog."""
        ports, self.ports = self.ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)

    def made(self) -> list[Served]:
        """What serves the clients of each listener, in the sequence of the settings, raw ones last."""
        settings = self._settings
        for endpoint in settings.listen[len(self._factories) :]:
            self.client_factory(endpoint)
        factories: list[ClientFactory | RawFactory] = [*self._factories, *(self._raw for _ in settings.listen_raw)]
        return list(zip(factories, self._certificates, strict=True))

    def client_factory(self, endpoint: config.ListenSettings) -> ClientFactory:
        """The factory of one listener; to be made in the sequence of the settings."""
        factory = ClientFactory(
            self._core, self._registry, authenticator(endpoint), endpoint.tcp_keepalive, endpoint.addr
        )
        self._factories.append(factory)
        return factory

    def factory_named(self, name: str) -> ClientFactory | None:
        """The factory of the listener with this name, which is its address in the settings."""
        return next((factory for factory in self._factories if factory.name == name), None)

    @property
    def names(self) -> list[str]:
        """Of the listeners of clients: their addresses in the settings."""
        return [endpoint.addr for endpoint in self._settings.listen]

    def handshakes(self) -> dict[str, int]:
        """What became of TLS handshakes with clients; see C{figures.prometheus}."""
        each = [certificate.handshakes for certificate in self._certificates if certificate is not None]
        return {"tls.done": sum(one.done for one in each), "tls.failed": sum(one.failed for one in each)}

    def apply(self, settings: config.Settings) -> None:
        """Take what may change of listeners, for new clients."""
        for factory, endpoint in zip(self._factories, settings.listen, strict=False):
            factory.auth = authenticator(endpoint)
            factory.keepalive = endpoint.tcp_keepalive

    def take_certificates(self, certificates: Sequence[ServerTLS | None]) -> None:
        """Use these for new clients."""
        for current, new in zip(self._certificates, certificates, strict=True):
            if current is not None and new is not None:
                current.replace(new)

    async def close(self) -> None:
        """Accept no more clients, and listen no more."""
        await self.pause()
        self._sockets.close()

    async def leave(self) -> None:
        """Accept no more clients: another process goes on listening."""
        await self.pause()
        self._sockets.leave()
