"""The end of one client: closed in order, or at once, for a reason that is counted and logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from redisproxy.client.output import Output
    from redisproxy.client.waiting import Waiting
    from redisproxy.shared.core import Core

CLOSE_DEADLINE_S = 5.0


class Holder(Protocol):
    """The client that ends."""

    @property
    def id(self) -> int:
        """The id that it sees."""

    @property
    def address(self) -> str:
        """Where it comes from."""

    def release(self) -> None:
        """Give back everything that it holds. Called once."""


class Closing:
    """Ends one client."""

    __slots__ = ("_core", "_holder", "_output", "_waiting", "_watchdog", "_why")

    log = Logger(namespace="redisproxy.client")

    def __init__(self, core: Core, holder: Holder, output: Output, waiting: Waiting) -> None:
        self._core = core
        self._output = output
        self._waiting = waiting
        self._holder = holder
        self._watchdog: IDelayedCall | None = None
        self._why = ""

    @property
    def closed(self) -> bool:
        """Whether the client has gone, or is about to."""
        return self._output.closed

    def drop(self, reason: str) -> None:
        """Close at once; `reason` is counted and logged unless it is empty (the client left by itself)."""
        if self._output.closed:
            return
        if reason:
            self.count(reason)
        self.let_go()
        if reason:
            self._closed_by_us(reason)
        self._output.transport.unregisterProducer()
        self._output.transport.abortConnection()

    def close(self) -> None:
        """Close after what was written has left, or after a deadline."""
        if self._output.closed:
            return
        self.let_go()
        transport = self._output.transport
        transport.unregisterProducer()
        if not self._waiting.reading and not self._waiting.eof:
            # A paused transport may never notice that it is closed.
            transport.resumeProducing()
        transport.loseConnection()
        self._watchdog = self._core.clock.callLater(CLOSE_DEADLINE_S, self._overdue)

    def close_for(self, reason: str, why: str) -> None:
        """Close as L{close} does; `reason` is counted and `why` logged."""
        self.count(reason)
        self._closed_by_us(why)
        self.close()

    def _closed_by_us(self, why: str) -> None:
        """Note it for the log, which may have told nothing of this client before."""
        self._why = f"closed by the proxy ({why}), it came from {self._holder.address}"

    def abort(self) -> None:
        """Close at once, whatever has been written."""
        self.let_go()
        self._output.transport.abortConnection()

    def count(self, reason: str) -> None:
        """Count that a client is closed for `reason`."""
        self._core.metrics.clients.closed[reason] += 1

    def crashed(self, failure: Failure) -> None:
        """What must not happen has happened: nothing about this client is to be trusted any more."""
        self.log.failure("internal error with client {id}", failure=failure, id=self._holder.id)
        self.drop("internal_error")

    def lost(self, reason: Failure) -> None:
        """The transport is gone."""
        if self._why:
            more = self._core.closed_lines.another()
            if more is not None:
                self.log.info("client {id} disconnected: {why}{more}", id=self._holder.id, why=self._why, more=more)
        elif self._core.log_clients:
            self.log.debug("client {id} disconnected: {why}", id=self._holder.id, why=reason.getErrorMessage())
        self.let_go()
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None

    def let_go(self) -> None:
        """Release everything that the client holds; what is in flight on a shared connection is still waited for."""
        if not self._output.closed:
            self._output.closed = True
            self._holder.release()

    def _overdue(self) -> None:
        self._watchdog = None
        self._output.transport.abortConnection()
