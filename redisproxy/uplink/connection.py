"""One authenticated connection to the Redis server, and the FIFO that matches replies to who waits for them."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any
from typing import Protocol as Interface

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.forwarding.interfaces import PinHolder, ReplySink
from redisproxy.forwarding.twins import Entry, Queue
from redisproxy.resp import ProtocolError
from redisproxy.uplink.back_pressure import BackPressure
from redisproxy.uplink.context import UplinkContext
from redisproxy.uplink.keepalive import Keepalive
from redisproxy.uplink.outstanding import OutstandingReplies

CLOSE_DEADLINE_S = 5.0
"""A TLS transport waits for the other end when it closes, and that may hang."""


class ConnectionState(Enum):
    """Where a connection is in its life."""

    LOGGING_IN = "logging in"
    OPEN = "open"
    RETIRED = "retired"
    CLOSED = "closed"


NEXT_STATES = {
    ConnectionState.LOGGING_IN: {ConnectionState.OPEN, ConnectionState.CLOSED},
    ConnectionState.OPEN: {ConnectionState.RETIRED, ConnectionState.CLOSED},
    ConnectionState.RETIRED: {ConnectionState.CLOSED},
    ConnectionState.CLOSED: {ConnectionState.CLOSED},
}


class Owner(Interface):
    """Who has opened a connection."""

    context: UplinkContext

    def connection_made(self, connection: UplinkConnection) -> None:
        """The transport is there; log in."""

    def connection_lost(self, connection: UplinkConnection, reason: Failure) -> None:
        """The connection is gone."""


class UplinkConnection(Protocol):
    """One connection. Requests go in by L{submit}, replies come out to the sinks in the same order.

    @ivar uplinks: its owner: the pool that it belongs to.
    @ivar db, resp_version: what the server's side of the connection is set to.
    @ivar queue: what is to be sent, and who waits for replies.
    @ivar alive: logged in and not closed.
    @ivar retired: nothing new is to be sent; it closes once what is in flight has been answered.
    @ivar reading: replies are read; see L{stop_reading}.
    @ivar server_id: the server's C{CLIENT ID} of this connection; None when it does not tell.
    @ivar holder: the client that has it pinned.
    @ivar credentials: what it has logged in with, or authenticated with since.
    """

    log = Logger(namespace="redisproxy.uplink")
    transport: Any

    def __init__(self, owner: Owner, db: int, resp_version: int) -> None:
        gate = owner.context.gate
        self.uplinks = owner
        self.db = db
        self.resp_version = resp_version
        self.queue = Queue(owner.context.end_of_turn, gate.flow, gate.release)
        self.outstanding = OutstandingReplies(self.queue)
        self.back_pressure = BackPressure(self._update_queue)
        self.keepalive = Keepalive(self.queue)
        self.alive = self.retired = False
        self.reading = True
        self.server_id: int | None = None
        self.holder: PinHolder | None = None
        self.credentials: Any = None
        self._state = ConnectionState.LOGGING_IN
        self._reader: Callable[[bytes], None] | None = None
        self._closing: IDelayedCall | None = None

    # -- its state

    def _enter(self, state: ConnectionState) -> None:
        if state not in NEXT_STATES[self._state]:
            raise ValueError(f"an uplink connection that is {self._state.value} can't be {state.value} next")
        self._state = state
        self.alive = state in (ConnectionState.OPEN, ConnectionState.RETIRED)
        self.retired = self.retired or state is ConnectionState.RETIRED
        self._update_queue()

    def _update_queue(self) -> None:
        self.queue.ready = self._state is ConnectionState.OPEN and self.back_pressure.writable
        self.queue.straight = self._reader is None and not self.retired

    @property
    def ready(self) -> bool:
        """Logged in, alive and writable."""
        return self.queue.ready

    def logged_in(self, server_id: int | None) -> None:
        """The first commands were answered well: commands may be submitted."""
        self.server_id = server_id
        self._enter(ConnectionState.OPEN)

    def retire(self) -> None:
        """Send nothing new; close once what is in flight has been answered."""
        if self._state is ConnectionState.OPEN:
            self._enter(ConnectionState.RETIRED)
        self.close_if_done()

    def close_if_done(self) -> None:
        """Close when it is retired and everything has been answered."""
        if self.retired and self.alive and not len(self.queue):
            self.close()

    def abort(self) -> None:
        """Close at once; what is in flight is lost."""
        self._leave_holder()
        if self.transport is not None:
            self.transport.unregisterProducer()
            self.reading = True  # there is nothing to resume any more
            self.transport.abortConnection()

    def close(self) -> None:
        """Close after what was written has left, or after a deadline."""
        self._leave_holder()
        if self.transport is not None:
            self.queue.flush()
            self.transport.unregisterProducer()  # a TLS transport with a producer never finishes loseConnection
            self.resume_reading()
            self.transport.loseConnection()
            if self._closing is None:
                clock = self.uplinks.context.clock
                self._closing = clock.callLater(CLOSE_DEADLINE_S, self.transport.abortConnection)

    def _leave_holder(self) -> None:
        """Take no more commands, and tell the holder at once: whatever state it had here is gone from this moment on.

        The transport tells of its end a turn later, and by then the holder may have sent its next command elsewhere.
        """
        self._reader = None
        self._enter(ConnectionState.CLOSED)
        holder, self.holder = self.holder, None
        if holder is not None:
            holder.uplink_gone()

    # -- commands

    def submit(self, sink: ReplySink, data: bytes, count: int, timed: bool = True) -> Entry:
        """Send `data`, `count` commands that were admitted at the gate, at the end of this turn."""
        return self.queue.submit(sink, data, count, True, timed)

    def submit_own(self, sink: ReplySink, data: bytes, count: int) -> None:
        """Send commands of the proxy's own, which do not count at the gate."""
        self.queue.submit(sink, data, count, False)

    # -- replies

    @property
    def reader(self) -> Callable[[bytes], None] | None:
        """Takes what arrives, and hands the replies in it to the queue; None when there are only replies."""
        return self._reader

    @reader.setter
    def reader(self, reader: Callable[[bytes], None] | None) -> None:
        self._reader = reader
        self._update_queue()

    def stop_reading(self) -> None:
        """Read no replies for now: the only client waiting on this connection reads them too slowly."""
        if self.reading and self.transport is not None:
            self.reading = False
            self.transport.pauseProducing()

    def resume_reading(self) -> None:
        """Undo L{stop_reading}."""
        if not self.reading and self.transport is not None:
            self.reading = True
            self.transport.resumeProducing()

    def broke_protocol(self, error: ProtocolError) -> None:
        """What arrived are no replies: nothing here is to be trusted any more."""
        self.log.error("the uplink broke the protocol: {error}", error=error.text)
        self.abort()

    # -- the transport

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.registerProducer(self.back_pressure, True)
        self.queue.transport = self.transport
        self.uplinks.connection_made(self)

    def dataReceived(self, data: bytes) -> None:
        try:
            if self._reader is None:
                self.queue.dispatch(data)
            else:
                self._reader(data)
        except ProtocolError as error:
            self.broke_protocol(error)
        self.close_if_done()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        entries = self.queue.clear()
        for entry in entries:
            if entry.counted:
                self.uplinks.context.gate.release(entry.want)
        self.uplinks.connection_lost(self, reason)
        self._leave_holder()
        for entry in entries:
            entry.sink.lost()
        self.back_pressure.wake()
