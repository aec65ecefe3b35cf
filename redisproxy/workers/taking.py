"""Serves connections that were accepted elsewhere: by the control process, or for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from redisproxy.serving import ClientFactory

if TYPE_CHECKING:
    from redisproxy.dataplane.local import LocalDataPlane
    from redisproxy.net.network import ServingNetwork
    from redisproxy.serving.factory import Refusal


class _Refusing:
    """The factory for those who are too many."""

    def __init__(self, factory: ClientFactory) -> None:
        self._factory = factory

    def buildProtocol(self, addr: object) -> Refusal:
        return self._factory.refusal()


class Taking:
    """The connections that one data plane was given.

    @ivar given, given_raw: how many there were, the raw ones apart. @ivar changed: called when there is another.
    """

    def __init__(self, plane: LocalDataPlane, network: ServingNetwork) -> None:
        self.given = self.given_raw = 0
        self.changed: Callable[[], None] = lambda: None
        self._network = network
        self._listeners = plane.listeners.made()
        refusing = next(factory for factory, _ in self._listeners if isinstance(factory, ClientFactory))
        self._refusing = _Refusing(refusing)

    def take(self, listener: int, full: bool, descriptor: int) -> None:
        """Serve a connection.

        @param listener: its place in the settings, the raw ones last. @param full: only say that it is one too many.
        @param descriptor: owned by this data plane from now on.
        """
        factory, tls = self._listeners[listener]
        if isinstance(factory, ClientFactory):
            self.given += 1
        else:
            self.given_raw += 1
        self.changed()
        self._network.serve(descriptor, self._refusing if full else factory, tls)
