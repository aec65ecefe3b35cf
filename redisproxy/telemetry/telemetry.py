"""Has figures and spans exported while the configuration names a collector. All of it runs in the reactor's thread.

It knows operations and figures only; what they become for a collector, and the libraries for that, are in C{otlp}.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.telemetry.exporter import Exporter
from redisproxy.telemetry.values import Ended, Moment

if TYPE_CHECKING:
    from redisproxy.config.opentelemetry import OpenTelemetrySettings
    from redisproxy.control.control import Control
    from redisproxy.figures.spans import Span

TICK_S = 0.5
MOST_INSIDE = 32
"""Pauses of one move that become spans in its own."""


class Telemetry:
    """Exports what one process is in charge of.

    @param control: which moves, pauses and figures it exports, until it decides nothing more.
    @param start: makes an exporter of the settings.
    """

    log = Logger(namespace="redisproxy.telemetry")

    def __init__(
        self, control: Control, reactor: Any, start: Callable[[OpenTelemetrySettings, Any], Exporter] = Exporter
    ) -> None:
        self._control = control
        self._reactor, self._start = reactor, start
        self._in_force: OpenTelemetrySettings | None = None
        self._exporter: Exporter | None = None
        self._inside: list[Ended] = []
        self._due = 0.0
        self._loop = LoopingCall(self._tick)
        control.metrics.on_span, self._ends = self.ended, control.ends
        control.ends = self._over

    def _over(self) -> None:
        self._ends()
        self.stop()

    def start(self) -> None:
        """Look from now on whether there is a collector, and what there is for it."""
        self._loop.clock = self._reactor
        self._loop.start(TICK_S, now=True).addErrback(self._failed)

    def stop(self) -> Deferred[None]:
        """Export what waits, for a limited time, and nothing more."""
        if self._loop.running:
            self._loop.stop()
        return succeed(None) if self._exporter is None else self._exporter.close()

    def ended(self, span: Span) -> None:
        """A move or a pause has ended just now."""
        if self._exporter is None:
            return
        ended = Ended(span, self._reactor.seconds())
        if self._control.exclusion.running:
            self._inside = [*self._inside[1 - MOST_INSIDE :], ended]
        else:
            inside, self._inside = tuple(self._inside), []
            self._exporter.put(replace(ended, inside=inside))

    def _tick(self) -> None:
        settings = self._control.configuration.settings.opentelemetry
        if settings != self._in_force:
            self._in_force = settings
            self._take(settings)
        now = self._reactor.seconds()
        if settings is not None and now >= self._due:
            self._due = now + settings.interval_ms / 1000
            self._control.operations.metrics().addCallback(self._put, now).addErrback(self._unknown)

    def _take(self, settings: OpenTelemetrySettings | None) -> None:
        """The collector is another one, or none; what waits for the old one may still go there."""
        exporter, self._exporter, self._inside = self._exporter, None, []
        if exporter is not None:
            exporter.close()
        if settings is not None:
            self._exporter, self._due = self._start(settings, self._reactor), 0.0

    def _put(self, text: bytes, now: float) -> None:
        if self._exporter is not None:
            self._exporter.put(Moment(text, now))

    def _unknown(self, failure: Failure) -> None:
        """There are no figures at the moment; whoever asks for them by hand is told why."""
        self.log.debug("no figures to export: {error}", error=failure.getErrorMessage())

    def _failed(self, failure: Failure) -> None:
        self.log.failure("nothing is exported any more", failure=failure)
