"""Tells the control process how many clients there are, and which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.workers import orders

if TYPE_CHECKING:
    from redisproxy.dataplane.local import LocalDataPlane
    from redisproxy.workers.asking import Upward
    from redisproxy.workers.taking import Taking

TELL_S = 0.05
NAME_S = 1.0


class Telling:
    """Tells of the clients of one data plane, whenever that changes.

    @param taking: counts those that it was given.
    """

    def __init__(self, plane: LocalDataPlane, taking: Taking, upward: Upward, clock: Any) -> None:
        self._plane = plane
        self._taking = taking
        self._upward = upward
        self._told: tuple[int, ...] = ()
        self._named: frozenset[int] = frozenset()
        self._loops = {LoopingCall(self._tell): TELL_S, LoopingCall(self._name): NAME_S}
        for loop in self._loops:
            loop.clock = clock
        upward.on_new = self._begin_anew

    def start(self) -> None:
        """Tell how many clients there are at once, and which they are a little later."""
        for loop, seconds in self._loops.items():
            loop.start(seconds, now=False)

    def stop(self) -> None:
        """Tell no more."""
        for loop in (each for each in self._loops if each.running):
            loop.stop()

    def _begin_anew(self) -> None:
        """There is a control process that knows nothing."""
        self._told, self._named = (), frozenset()

    def _tell(self) -> None:
        plane, taking = self._plane, self._taking
        now = (taking.given, len(plane.registry), taking.given_raw, len(plane.raw))
        if now != self._told and self._upward.there:
            self._told = now
            given, clients, given_raw, raw = now
            told = self._upward.give(orders.Occupied, given=given, clients=clients, given_raw=given_raw, raw=raw)
            told.addErrback(_link_lost)

    def _name(self) -> None:
        """Tell which clients have come and gone, so that the log can name them if this process is lost."""
        present = {client.id: client for client in self._plane.registry}
        gone = self._named.difference(present)
        came = tuple((number, present[number].address) for number in present.keys() - self._named)
        if (came or gone) and self._upward.there:
            self._named = frozenset(present)
            self._upward.give(orders.Present, came=came, gone=gone).addErrback(_link_lost)


def _link_lost(failure: Failure) -> None:
    failure.trap(DataPlaneLost)
