"""Keeps the uplink where the primary is, as sentinels or a name tell.

It looks when a sentinel tells of a change, when the uplink is lost or is no primary any more, and from time to time,
since events can be missed. What counts is where the primary is now, not what was heard: however events come, one look
after the last is enough.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.control.errors import OperationError
from redisproxy.net.errors import UplinkError
from redisproxy.sentinel.answers import ABORTED, BEGINS
from redisproxy.sentinel.backoff import Backoff
from redisproxy.sentinel.subscription import Subscription

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.control.configuration import Configuration
    from redisproxy.control.failover import Failover
    from redisproxy.control.failover_hold import FailoverHold
    from redisproxy.figures.metrics import OperationFigures
    from redisproxy.sentinel.finder import Sentinel
    from redisproxy.sentinel.interface import PrimaryFinder

GAP_S = 0.05
DEMOTED_S = 0.25
"""How often to look while the server in use is no primary, and clients are held for that."""


class Follower:
    """One proxy's.

    @param jitter: see L{Backoff}. @ivar hold: holds the clients while the sentinels change the primary.
    """

    log = Logger(namespace="redisproxy.sentinel")

    def __init__(
        self,
        configuration: Configuration,
        failover: Failover,
        hold: FailoverHold,
        metrics: OperationFigures,
        clock: IReactorTime,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._configuration = configuration
        self._failover = failover
        self.hold = hold
        self._metrics = metrics
        self._clock = clock
        self._jitter = jitter
        self._finder: PrimaryFinder | None = None
        self._backoff = Backoff(0.0, 0.0, jitter)
        self._subscriptions: list[Subscription] = []
        self._looking: Deferred[None] | None = None
        self._wanted = False
        self._first: Sentinel | None = None
        self._timer: IDelayedCall | None = None
        self._was_connected = False
        self._looked_at = 0.0
        self._closed = False

    # -- what makes it look

    def tick(self, connected: bool, demoted: bool = False) -> None:
        """Notice another configuration, the loss of the uplink, and that it is no primary. To be called often.

        @param connected: whether there is a connection to the server in use.
        @param demoted: whether that was a primary and is not any more.
        """
        if self._closed:
            return
        if self._configuration.finder is not self._finder:
            self._take_up(self._configuration.finder)
        lost = self._was_connected and not connected
        self._was_connected = connected
        since_s = self._clock.seconds() - self._looked_at
        if lost or (demoted and since_s >= DEMOTED_S) or (not connected and since_s >= self._lost_poll_s):
            self.look()

    @property
    def _lost_poll_s(self) -> float:
        """When to look again while there is no connection to a server that was found."""
        found = self._configuration.settings.uplink.found is not None
        return self._finder.lost_poll_s if self._finder is not None and found else math.inf

    def _take_up(self, finder: PrimaryFinder | None) -> None:
        self._leave()
        self._finder = finder
        if finder is None:
            return
        self._backoff = self._new_backoff(finder)
        self._subscriptions = [
            Subscription(sentinel, finder.name, self._new_backoff(finder), self._happened)
            for sentinel in finder.sentinels
        ]
        self.look()

    def _new_backoff(self, finder: PrimaryFinder) -> Backoff:
        return Backoff(*finder.backoff_s, self._jitter)

    def look(self, first: Sentinel | None = None) -> None:
        """Look where the primary is, soon, and go there.

        @param first: the sentinel that may know.
        """
        self._wanted = True
        self._first = first or self._first
        if self._looking is None and self._finder is not None:
            self._looking = ensureDeferred(self._look_while_wanted(self._finder))
            self._looking.addErrback(self._failed).addBoth(self._looked)

    def _happened(self, sentinel: Sentinel, event: str) -> None:
        if event == BEGINS:
            self.hold.begin(self._finder.hold_s if self._finder is not None else 0.0)
        elif event in ABORTED:
            self.hold.end()
        else:
            self.look(sentinel)

    # -- stopping

    def stop(self) -> None:
        """Follow nobody any more."""
        self._closed = True
        self._leave()

    def _leave(self) -> None:
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            subscription.stop()
        self._finder = None
        self._stop_timer()
        self.hold.end()
        if self._looking is not None:
            self._looking.cancel()

    # -- looking

    async def _look_while_wanted(self, finder: PrimaryFinder) -> None:
        while self._wanted:
            self._wanted = False
            self._looked_at = self._clock.seconds()
            self._stop_timer()
            self._look_again_in(await self._look(finder))
            # Whoever floods us with events makes us ask so often and no more.
            await deferLater(self._clock, GAP_S, lambda: None)

    async def _look(self, finder: PrimaryFinder) -> float:
        """Find the primary and go there; the seconds until the next look."""
        first, self._first = self._first, None
        try:
            await self._follow(finder, first)
        except (UplinkError, OperationError) as error:
            if str(error) != finder.error:
                self.log.warn("{name}: {error}", name=finder.name, error=str(error))
            finder.error = str(error)
            return min(finder.poll_s, self._backoff.next_s())
        finder.error = ""
        self._backoff.reset()
        return finder.poll_s

    async def _follow(self, finder: PrimaryFinder, first: Sentinel | None) -> None:
        uplink = self._configuration.settings.uplink
        old, known = uplink.place, uplink.found is not None
        address = await finder.find(uplink.found, first)
        if finder is not self._configuration.finder:
            return
        if self._configuration.settings.uplink.found != uplink.found:
            self._wanted = True  # another server is in use meanwhile, and this one was not asked for its role
            return
        if address == uplink.found:
            return
        self.log.info("{name} is {new} now, was {old}", name=finder.name, new=str(address), old=str(old))
        answer = await self._failover.go_to(address)
        if known:
            self._metrics.sentinel_switches_total += 1
            finder.last_switch = {"from": str(old), "to": str(address), **self._told(answer)}
        self.hold.end()

    def _told(self, answer: Answer) -> dict[str, Any]:
        pause_ms = answer["pause_ms"] if self.hold.ms is None else self.hold.ms
        return {"at": self._clock.seconds(), "pause_ms": pause_ms, "dropped": answer["dropped"]}

    def _look_again_in(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = self._clock.callLater(seconds, self.look)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _looked(self, _: object) -> None:
        self._looking = None
        if self._wanted:
            self.look()

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        self.log.failure("following the sentinels failed", failure=failure)
        if self._finder is not None:
            self._look_again_in(self._finder.poll_s)
