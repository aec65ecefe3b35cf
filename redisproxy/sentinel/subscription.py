"""Hearing one sentinel's events for as long as the proxy runs; what was missed is what the polling is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.net.errors import UplinkError
from redisproxy.sentinel.answers import EVENTS, SWITCHED, concerns
from redisproxy.sentinel.backoff import Backoff

if TYPE_CHECKING:
    from redisproxy.sentinel.finder import Sentinel

Happened = Callable[["Sentinel", str], None]


class Subscription:
    """One sentinel's events about one primary.

    @param happened: called with the sentinel and the event; at each subscription, too, as one may have been missed.
    """

    log = Logger(namespace="redisproxy.sentinel")

    def __init__(self, sentinel: Sentinel, name: str, backoff: Backoff, happened: Happened) -> None:
        self._sentinel = sentinel
        self._name = name
        self._backoff = backoff
        self._happened = happened
        self._running: Deferred[None] = ensureDeferred(self._run())
        self._running.addErrback(self._failed)

    def stop(self) -> None:
        """Close the connection and open no more."""
        self._running.cancel()

    async def _run(self) -> None:
        clock = self._sentinel.line.clock
        while True:
            began = clock.seconds()
            try:
                await self._hear()
            except UplinkError as error:
                self._note(str(error))
            self._backoff.lasted(clock.seconds() - began)
            await deferLater(clock, self._backoff.next_s(), lambda: None)

    async def _hear(self) -> None:
        sentinel = self._sentinel
        server, gone = await sentinel.line.listen(EVENTS, self._heard)
        sentinel.subscribed, sentinel.deaf = True, ""
        self.log.info("{name}: its events are heard", name=sentinel.line.name)
        try:
            self._happened(sentinel, SWITCHED)
            await gone
        finally:
            sentinel.subscribed = False
            server.close()
        self._note(f"{sentinel.line.name}: the connection was lost")

    def _heard(self, channel: object, message: object) -> None:
        if isinstance(channel, bytes) and concerns(message, self._name):
            self._happened(self._sentinel, channel.decode("ascii", "replace"))

    def _note(self, error: str) -> None:
        if error != self._sentinel.deaf:
            self.log.warn("{error}", error=error)
        self._sentinel.deaf = error

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("{name}: hearing its events failed", failure=failure, name=self._sentinel.line.name)
