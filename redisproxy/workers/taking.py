"""Takes connections in that the control process has accepted, and tells it how many clients there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.serving import ClientFactory
from redisproxy.workers import orders

if TYPE_CHECKING:
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
        self._loops = {LoopingCall(self._tell): TELL_S, LoopingCall(self._name): NAME_S}
        for loop in self._loops:
            loop.clock = clock

    def start(self) -> None:
        """Tell how many clients there are, whenever that changes, and which they are, a little later."""
        for loop, seconds in self._loops.items():
            loop.start(seconds, now=False)

    def stop(self) -> None:
        """Tell no more."""
        for loop in (each for each in self._loops if each.running):
            loop.stop()

    def take(self, listener: int, full: bool, descriptor: int) -> None:
        """Serve a connection."""
        factory, tls = self._listeners[listener]
        if isinstance(factory, ClientFactory):
            self._given += 1
        else:
            self._given_raw += 1
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
