"""Takes connections in that the control process has accepted, and tells it how many clients there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.serving import ClientFactory
from redisproxy.workers import orders

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from redisproxy.dataplane.local import LocalDataPlane
    from redisproxy.net.network import ServingNetwork
    from redisproxy.remote.order_client import OrderClient
    from redisproxy.serving.factory import Refusal

TELL_S = 0.05
NAME_S = 1.0


class _Refusing:
    """The factory for those who are too many."""

    def __init__(self, factory: ClientFactory) -> None:
        self._factory = factory

    def buildProtocol(self, addr: object) -> Refusal:
        return self._factory.refusal()


class _Soon:
    """Makes a call once, so many seconds after it was first wanted. An idle process is not woken for it."""

    def __init__(self, call: Callable[[], None], seconds: float, clock: Any) -> None:
        self._call = call
        self._seconds = seconds
        self._clock = clock
        self._waiting: IDelayedCall | None = None

    def want(self) -> None:
        if self._waiting is None:
            self._waiting = self._clock.callLater(self._seconds, self._make)

    def _make(self) -> None:
        self._waiting = None
        self._call()

    def stop(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()


class Taking:
    """The connections of one worker.

    @param asking: the link to the control process.
    """

    def __init__(self, plane: LocalDataPlane, network: ServingNetwork, asking: OrderClient, clock: Any) -> None:
        self._plane = plane
        self._network = network
        self._asking = asking
        self._listeners = plane.listeners.factories()
        refusing = next(factory for factory, _ in self._listeners if isinstance(factory, ClientFactory))
        self._refusing = _Refusing(refusing)
        self._given = self._given_raw = 0
        self._told = (0, 0, 0, 0)
        self._named: frozenset[int] = frozenset()
        self._started = False
        self._soon = (_Soon(self._tell, TELL_S, clock), _Soon(self._name, NAME_S, clock))

    def start(self) -> None:
        """Tell how many clients there are, soon after that has changed, and which they are, a little later."""
        self._started = True
        self._plane.registry.changed = self._plane.raw.changed = self._changed
        self._changed()

    def _changed(self) -> None:
        for each in self._soon if self._started else ():
            each.want()

    def stop(self) -> None:
        """Tell no more."""
        self._started = False
        for each in self._soon:
            each.stop()

    def take(self, listener: int, full: bool, descriptor: int) -> None:
        """Serve a connection."""
        factory, tls = self._listeners[listener]
        if isinstance(factory, ClientFactory):
            self._given += 1
        else:
            self._given_raw += 1
        self._changed()
        self._network.serve(descriptor, self._refusing if full else factory, tls)

    def _tell(self) -> None:
        plane = self._plane
        now = (self._given, len(plane.registry), self._given_raw, len(plane.raw))
        if now != self._told and not self._asking.lost:
            self._told = now
            given, clients, given_raw, raw = now
            told = self._asking.give(orders.Occupied, given=given, clients=clients, given_raw=given_raw, raw=raw)
            told.addErrback(_link_lost)

    def _name(self) -> None:
        """Tell which clients have come and gone, so that the log can name them if this process is lost."""
        present = {client.id: client for client in self._plane.registry}
        gone = self._named.difference(present)
        came = tuple((number, present[number].address) for number in present.keys() - self._named)
        if (came or gone) and not self._asking.lost:
            self._named = frozenset(present)
            self._asking.give(orders.Present, came=came, gone=gone).addErrback(_link_lost)


def _link_lost(failure: Failure) -> None:
    failure.trap(DataPlaneLost)
