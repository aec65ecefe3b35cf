"""Between the pass over all keys and the pause: what changes is copied as it comes; a failure is told later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from redisproxy.net.errors import UplinkError

if TYPE_CHECKING:
    from redisproxy.copying.converge import Converge

POLL_S = 0.02


class KeepingUp:
    """Runs L{Converge.keep_up}."""

    log = Logger(namespace="redisproxy.copying")

    def __init__(self, converge: Converge, clock: Any) -> None:
        self._converge = converge
        self._clock = clock
        self._failure: UplinkError | None = None
        self._running: Deferred[None] | None = None

    def begin(self) -> None:
        """Copy what changes from now on."""
        self._running = running = ensureDeferred(self._run())
        running.addErrback(lambda _: None)

    async def _run(self) -> None:
        try:
            await self._converge.keep_up()
        except UplinkError as error:
            self._failure = error
            self.log.warn("the copy does not keep up with the changes: {error}", error=str(error))

    async def near(self) -> None:
        """Wait until all is copied again, if that has become necessary.

        @raise UplinkError: it has failed.
        """
        while self._failure is None and not self._converge.settled:
            await deferLater(self._clock, POLL_S)
        self._require_success()

    async def end(self) -> None:
        """Copy no more than what is being copied.

        @raise UplinkError: it has failed.
        """
        self._converge.end_keeping_up()
        running = self._running
        if running is not None and not running.called:
            over: Deferred[None] = Deferred()
            running.addBoth(lambda _: over.callback(None))
            await over
        self._require_success()

    def _require_success(self) -> None:
        if self._failure is not None:
            raise self._failure

    def cancel(self) -> None:
        """Leave everything as it is."""
        if self._running is not None:
            self._running.cancel()
