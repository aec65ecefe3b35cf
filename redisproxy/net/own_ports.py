"""The ports of what the control plane itself answers: the admin pages, and the peers of a fleet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import deferLater

from redisproxy.net.listening import OwnSockets, Sockets, open_ports

if TYPE_CHECKING:
    from redisproxy.config import RawListenSettings
    from redisproxy.net.network import Network


LAST_ANSWERS_S = 0.05
"""A process that ends at once takes along what was written in its last turn."""


class Ports(Protocol):
    """The addresses at which clients are accepted."""

    def take(self, sockets: Sockets) -> None:
        """Have these sockets, to accept from at L{resume}."""

    def resume(self) -> None:
        """Accept, at first and again after L{pause}."""

    async def pause(self) -> None:
        """Accept nobody for now: who comes waits in the backlog."""

    async def leave(self) -> None:
        """Accept no more clients: another process goes on listening."""


class OwnPorts:
    """Accepts for one of them.

    @param endpoint: None for a proxy without it. @param factory: of its protocols.
    @param tls: its certificate, if it has one. @param left: called when it accepts nobody any more.
    """

    def __init__(
        self,
        network: Network,
        endpoint: RawListenSettings | None,
        factory: Any,
        tls: Any,
        clock: Any,
        left: Callable[[], None] = lambda: None,
    ) -> None:
        self._network = network
        self._clock = clock
        self._endpoint = endpoint
        self._factory = factory
        self._tls = tls
        self._left = left
        self._sockets = OwnSockets([] if endpoint is None else [endpoint.address])
        self._ports: list[IListeningPort] = []

    def take(self, sockets: Sockets) -> None:
        """Have these sockets, of which those of its endpoint are this object's from now on."""
        self._sockets.take(sockets)

    def resume(self) -> None:
        """Accept, at first and again after L{pause}."""
        if self._endpoint is not None and self._sockets and not self._ports:
            sockets = self._sockets.at(self._endpoint.address)
            self._ports = open_ports(self._network, sockets, self._factory, self._tls)

    async def pause(self) -> None:
        """Accept nobody for now; connections that there are stay."""
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)

    async def close(self) -> None:
        """Accept nobody any more, and listen no more; fire when the last answers have had time to leave."""
        await self.pause()
        self._left()
        self._sockets.close()
        if self._endpoint is not None:
            await deferLater(self._clock, LAST_ANSWERS_S)

    async def leave(self) -> None:
        """Accept nobody any more: another process goes on listening."""
        await self.pause()
        self._left()
        self._sockets.leave()


class TogetherPorts:
    """Several of them as one."""

    def __init__(self, *ports: OwnPorts) -> None:
        self._ports = ports

    def take(self, sockets: Sockets) -> None:
        """See L{OwnPorts}; so are the others."""
        for each in self._ports:
            each.take(sockets)

    def resume(self) -> None:
        for each in self._ports:
            each.resume()

    async def pause(self) -> None:
        for each in self._ports:
            await each.pause()

    async def close(self) -> None:
        for each in self._ports:
            await each.close()

    async def leave(self) -> None:
        for each in self._ports:
            await each.leave()
