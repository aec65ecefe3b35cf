"""A thread that gives a collector what there is for it, so that nobody else waits for the network.

It imports the libraries of the extra C{otel}, by way of C{otlp}, and only it.
"""

from __future__ import annotations

import importlib
import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

if TYPE_CHECKING:
    from redisproxy.config.opentelemetry import OpenTelemetrySettings
    from redisproxy.telemetry.values import Ended, Moment

MOST_WAITING = 32
"""What is more is dropped: a collector that is down costs no memory."""
CLOSE_S = 2.0


class Exporter:
    """Exports to one collector; to be used in the reactor's thread."""

    log = Logger(namespace="redisproxy.telemetry")

    def __init__(self, settings: OpenTelemetrySettings, reactor: Any) -> None:
        self._endpoint, self._reactor = settings.endpoint, reactor
        self._waiting: queue.Queue[Moment | Ended | None] = queue.Queue(MOST_WAITING)
        self._waiters: list[Deferred[None]] = []
        self._is_over = False
        self._closed = threading.Event()
        self._fails = False
        self._collector: Any = None
        threading.Thread(target=self._run, name="opentelemetry", daemon=True).start()

    def put(self, what: Moment | Ended) -> None:
        """Have this exported; it is dropped when too much waits already."""
        try:
            self._waiting.put_nowait(what)
        except queue.Full:
            self.log.debug("dropped, because the collector takes nothing")

    def close(self) -> Deferred[None]:
        """Export what waits, and end; fires after C{CLOSE_S} at the latest."""
        self._closed.set()
        with suppress(queue.Full):  # then the thread looks whether it is closed
            self._waiting.put_nowait(None)
        if self._is_over:
            return succeed(None)
        self._waiters.append(waiter := Deferred[None]())
        return waiter.addTimeout(CLOSE_S, self._reactor, lambda result, limit: None)

    def _told(self, error: str) -> None:
        """What has become of the last one. Said once each time that it changes."""
        if bool(error) == self._fails:
            return
        self._fails = bool(error)
        if error:
            text = "the collector at {endpoint} takes nothing: {error}. It is tried again and again, and said once"
            self.log.warn(text, endpoint=self._endpoint, error=error)
        else:
            self.log.info("the collector at {endpoint} takes figures again", endpoint=self._endpoint)

    def _over(self) -> None:
        self._is_over = True
        waiters, self._waiters = self._waiters, []
        for each in waiters:
            if not each.called:
                each.callback(None)

    # -- in the thread

    def _run(self) -> None:
        try:
            self._export_all()
        finally:
            self._reactor.callFromThread(self._over)

    def _export_all(self) -> None:
        error = ""
        while (what := self._waiting.get()) is not None and not (self._closed.is_set() and error):
            error = self._export(what)
            self._reactor.callFromThread(self._told, error)
            if self._closed.is_set() and self._waiting.empty():
                break
        if self._collector is not None:
            self._collector.close()

    def _export(self, what: Moment | Ended) -> str:
        """Why it could not be; empty when it was."""
        try:
            if self._collector is None:
                self._collector = importlib.import_module("redisproxy.telemetry.otlp").Collector(self._endpoint)
            why: str = self._collector.take(what)
        except Exception as error:  # of the libraries, which read the environment, too
            return f"{type(error).__name__}: {error}"
        return why
