"""Looks at the clock for everybody: commands that take too long, idle clients, connections that nobody needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.client import Client
from redisproxy.dataplane.running_time import RunningTime

if TYPE_CHECKING:
    from redisproxy.dataplane.demotion import Demotion
    from redisproxy.dataplane.in_force import InForce
    from redisproxy.figures.seconds import Seconds
    from redisproxy.shared.registry import ClientRegistry

LOOK_S = 0.1
TICK_S = 1.0
AGAIN_S = 5.0
"""After a look has failed: one client that can't be dealt with is no reason to leave all others alone for ever."""


class Supervision:
    """Looks ten times a second, at what costs more once."""

    log = Logger(namespace="redisproxy")

    def __init__(
        self, in_force: InForce, registry: ClientRegistry[Client], demotion: Demotion, seconds: Seconds, clock: Any
    ) -> None:
        self._demotion = demotion
        self._in_force = in_force
        self._registry = registry
        self._seconds = seconds
        self._clock = clock
        self._ticked = 0.0
        self._running_time = RunningTime()
        self._loop = LoopingCall(self.look)
        self._loop.clock = clock
        self._again: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to look."""
        self._again = None
        self._loop.start(LOOK_S, now=False).addErrback(self._failed)

    def stop(self) -> None:
        """Look no more."""
        self._demotion.stop()
        if self._again is not None:
            self._again.cancel()
        if self._loop.running:
            self._loop.stop()

    def _failed(self, failure: Failure) -> None:
        self.log.failure("supervision failed; it goes on in {again_s:g} s", failure=failure, again_s=AGAIN_S)
        self._again = self._clock.callLater(AGAIN_S, self.start)

    def look(self) -> None:
        """Look once."""
        now, settings = self._clock.seconds(), self._in_force.settings
        running_s = self._running_time.at(now)
        self._demotion.look()
        self._seconds.tick(now)
        self._in_force.uplinks.head_of_line.check(now, self._dedicate)
        if settings.read_time_limit_ms:
            self._end_overdue(running_s, settings.read_time_limit_ms / 1000)
        if now - self._ticked >= TICK_S:
            self._ticked = now
            self._in_force.uplinks.tick(now)
            self._in_force.uplinks.ping(running_s)
            self._in_force.connect_ahead()
            self._end_idle(now, settings.idle_timeout_ms / 1000)

    @staticmethod
    def _dedicate(client: object) -> None:
        if isinstance(client, Client):
            client.share.dedicate()

    def _end_overdue(self, now: float, limit_s: float) -> None:
        for connection, client in self._in_force.uplinks.registry.overdue(now, limit_s):
            if isinstance(client, Client) and not client.closed:
                client.closing.drop("time_limit")
            else:
                # Its client has gone and the server still does not answer: nobody behind it gets anywhere.
                connection.abort()

    def _end_idle(self, now: float, limit_s: float) -> None:
        for client in self._registry:
            if client.lane.active:
                client.lane.active = False
                client.identity.last_seen = now
            elif limit_s and now - client.identity.last_seen >= limit_s and client.idle:
                client.closing.drop("idle")
            client.second_passed(now)
