"""The sockets at which this process listens, kept apart from the ports that accept from them.

A port accepts from a copy, so that it can stop and begin again while the kernel's backlog holds who comes meanwhile,
and another process can go on with the same sockets.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from redisproxy.net.sockets import listening_socket

if TYPE_CHECKING:
    from twisted.internet.error import CannotListenError

    from redisproxy.config import Address, Settings
    from redisproxy.net.network import Network


class ListeningSocket:
    """One of them.

    @ivar listening: not blocking; this object's own.
    @ivar name: what the service manager calls it, which listens on; empty when the program has bound it by itself.
    @ivar of_another: a process that is not this one's to end listens there, too.
    """

    def __init__(self, listening: socket.socket, name: str = "", of_another: bool = False) -> None:
        self.listening = listening
        self.name = name
        self.of_another = of_another or bool(name)

    def copy(self) -> socket.socket:
        """Another descriptor of it, for a port, which closes it."""
        copied = self.listening.dup()
        copied.setblocking(False)
        return copied

    def close(self) -> None:
        """Listen no more. The file of a Unix socket goes, too, if nobody else listens there."""
        place = None if self.of_another or self.listening.fileno() < 0 else self.listening.getsockname()
        self.leave()
        if isinstance(place, str) and place and os.path.exists(place):
            os.unlink(place)

    def leave(self) -> None:
        """Another process goes on with it."""
        self.listening.close()


Sockets = Mapping["Address", Sequence[ListeningSocket]]
"""The sockets of each listener, by its address in the configuration."""


class OwnSockets:
    """The sockets of some listeners, from L{take} until L{close} or L{leave}."""

    def __init__(self, addresses: Iterable[Address]) -> None:
        self._addresses = list(addresses)
        self._sockets: Sockets = {}

    def __bool__(self) -> bool:
        return bool(self._sockets)

    def take(self, sockets: Sockets) -> None:
        """Have these. @param sockets: those of every listener."""
        self._sockets = sockets

    def at(self, address: Address) -> Sequence[ListeningSocket]:
        """Those of the listener with this address."""
        return self._sockets[address]

    def close(self) -> None:
        """Listen no more."""
        close_all(self._given_up())

    def leave(self) -> None:
        """Another process goes on listening."""
        for each in self._given_up():
            each.leave()

    def _given_up(self) -> list[ListeningSocket]:
        sockets, self._sockets = self._sockets, {}
        return [each for address in self._addresses for each in sockets.get(address, ())]


def sockets_for(settings: Settings, had: Mapping[Address, Sequence[ListeningSocket]]) -> Sockets:
    """The sockets of every listener.

    @param had: those that listen already, by address; the others are bound.
    @raise twisted.internet.error.CannotListenError: one can't be bound; those that were bound are closed again.
    """
    found: dict[Address, Sequence[ListeningSocket]] = {}
    bound: list[ListeningSocket] = []
    try:
        for _, endpoint in settings.listeners:
            address = endpoint.address
            if address not in had:
                bound.append(ListeningSocket(listening_socket(address, endpoint.backlog)))
            found[address] = had.get(address, bound[-1:])
    except BaseException:
        close_all(bound)
        raise
    return found


def close_all(sockets: Iterable[ListeningSocket]) -> None:
    """Listen at none of these any more."""
    for each in sockets:
        each.close()


def open_ports(network: Network, sockets: Iterable[ListeningSocket], factory: Any, tls: Any) -> list[Any]:
    """Accept from these; the ports."""
    return [network.listen_on(each.copy(), factory, tls) for each in sockets]


def cannot_listen(error: CannotListenError) -> str:
    """What Twisted's error says, in one line."""
    place = f"{error.interface}:{error.port}" if isinstance(error.port, int) else str(error.port)
    cause = getattr(error.socketError, "strerror", None) or str(error.socketError)
    return f"can't listen on {place}: {cause}"
