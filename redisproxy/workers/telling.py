"""Tells the control process how many clients there are, and which."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.workers import orders

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from redisproxy.dataplane.local import LocalDataPlane
    from redisproxy.workers.asking import Upward
    from redisproxy.workers.taking import Taking

TELL_S = 0.05
NAME_S = 1.0


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


class Telling:
    """Tells of the clients of one data plane, soon after that has changed.

    @param taking: counts those that it was given.
    """

    def __init__(self, plane: LocalDataPlane, taking: Taking, upward: Upward, clock: Any) -> None:
        self._plane = plane
        self._taking = taking
        self._upward = upward
        self._told: tuple[int, ...] = ()
        self._named: frozenset[int] = frozenset()
        self._started = False
        self._soon = (_Soon(self._tell, TELL_S, clock), _Soon(self._name, NAME_S, clock))
        upward.on_new = self._begin_anew

    def start(self) -> None:
        """Tell how many clients there are soon after that has changed, and which they are a little later."""
        self._started = True
        self._plane.registry.changed = self._plane.raw.changed = self._taking.changed = self._changed
        self._changed()

    def _changed(self) -> None:
        for each in self._soon if self._started else ():
            each.want()

    def stop(self) -> None:
        """Tell no more."""
        self._started = False
        for each in self._soon:
            each.stop()

    def _begin_anew(self) -> None:
        """There is a control process that knows nothing."""
        self._told, self._named = (), frozenset()
        self._changed()

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
