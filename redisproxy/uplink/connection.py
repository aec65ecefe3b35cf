"""One authenticated connection to the Redis server, and the FIFO that matches replies to who waits for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from redisproxy.forwarding.collector import Collector
from redisproxy.forwarding.interfaces import Holder, ReplySink, Waiter
from redisproxy.forwarding.twins import Entry, Queue
from redisproxy.resp import ProtocolError, encode_command

if TYPE_CHECKING:
    from redisproxy.figures.metrics import Metrics
    from redisproxy.forwarding.gate import Gate


CLOSE_DEADLINE_S = 5.0
"""A TLS transport waits for the other end when it closes, and that may hang."""


class Owner(Interface):
    """What a connection needs of the set that it belongs to."""

    clock: IReactorTime
    gate: Gate
    metrics: Metrics

    def end_of_turn(self, call: Callable[[], None]) -> None:
        """Run `call` once, after all that arrived in this turn has been handled."""

    def connection_made(self, connection: UplinkConnection) -> None:
        """The transport is there; log in."""

    def connection_lost(self, connection: UplinkConnection, reason: Failure) -> None:
        """The connection is gone."""


@implementer(IPushProducer)
class UplinkConnection(Protocol):
    """One connection. Requests go in by L{submit}, replies come out to the sinks in the same order.

    @ivar queue: what is to be sent, and who waits for replies.
    @ivar alive: logged in and not closed.
    @ivar retired: nothing new is to be sent; it closes once what is in flight has been answered.
    @ivar db, resp_version: what the server's side of the connection is set to.
    @ivar server_id: the server's C{CLIENT ID} of this connection; None when it does not tell.
    @ivar holder: the client that has it pinned.
    """

    log = Logger(namespace="redisproxy.uplink")
    transport: Any

    def __init__(self, owner: Owner, db: int, resp_version: int) -> None:
        self.owner = owner
        self.db = db
        self.resp_version = resp_version
        self.queue = Queue(owner.end_of_turn, owner.gate.flow, owner.gate.release)
        self.alive = False
        self.retired = False
        self.server_id: int | None = None
        self.holder: Holder | None = None
        self._reader: Callable[[bytes], None] | None = None
        self.last_used = 0.0
        self.last_pinged = 0.0
        self.pinged_at: float | None = None
        self._gate = owner.gate
        self._writable = True
        self._waiters: dict[Waiter, None] = {}
        self._reading = True
        self._stalled: tuple[object, int, float] = (None, 0, 0.0)
        self._mark: tuple[Entry | None, float] = (None, 0.0)
        self._closing: IDelayedCall | None = None

    @property
    def uplinks(self) -> Owner:
        """The set that it belongs to."""
        return self.owner

    @property
    def ready(self) -> bool:
        """Logged in, alive and writable."""
        return self.queue.ready

    # -- sending

    def submit(self, sink: ReplySink, data: bytes, count: int, timed: bool = True) -> Entry:
        """Send `data`, `count` commands that were admitted at the gate, at the end of this turn."""
        return self.queue.submit(sink, data, count, True, timed)

    def submit_own(self, sink: ReplySink, data: bytes, count: int) -> None:
        """Send commands of the proxy's own, which do not count at the gate."""
        self.queue.submit(sink, data, count, False)

    def send_more(self, data: bytes) -> None:
        """Send the next piece of a command whose beginning was submitted."""
        self.queue.send(data)

    def wait_writable(self, waiter: Waiter) -> None:
        """Call C{waiter.uplink_writable()} once the transport takes more bytes."""
        self._waiters[waiter] = None

    def forget_waiter(self, waiter: Waiter) -> None:
        """`waiter` has gone away."""
        self._waiters.pop(waiter, None)

    # -- the transport

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.registerProducer(self, True)
        self.queue.transport = self.transport
        self.owner.connection_made(self)

    def dataReceived(self, data: bytes) -> None:
        try:
            if self._reader is None:
                self.queue.dispatch(data)
            else:
                self._reader(data)
        except ProtocolError as error:
            self.broke_protocol(error)
        self.close_if_done()

    def close_if_done(self) -> None:
        """Close when it is retired and everything has been answered."""
        if self.retired and self.alive and not len(self.queue):
            self.close()

    def broke_protocol(self, error: ProtocolError) -> None:
        """What arrived are no replies: nothing here is to be trusted any more."""
        self.log.error("the uplink broke the protocol: {error}", error=error.text)
        self.abort()

    @property
    def reader(self) -> Callable[[bytes], None] | None:
        """Takes what arrives, and hands the replies in it to L{dispatch}; None when there are only replies."""
        return self._reader

    @reader.setter
    def reader(self, reader: Callable[[bytes], None] | None) -> None:
        self._reader = reader
        self.queue.straight = reader is None and not self.retired

    def dispatch(self, data: bytes) -> None:
        """Pass replies on to who waits for them.

        @raise ProtocolError: these are no replies, or more than were waited for.
        """
        self.queue.dispatch(data)

    def confirm(self, data: bytes) -> None:
        """Pass `data` on as one whole reply to who waits longest.

        @raise ProtocolError: nobody waits for a reply.
        """
        self.queue.confirm(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        entries = self.queue.clear()
        for entry in entries:
            if entry.counted:
                self._gate.release(entry.want)
        self.owner.connection_lost(self, reason)
        self._leave_holder()
        for entry in entries:
            entry.sink.lost()
        self._wake_waiters()

    # -- IPushProducer: the transport tells whether it takes more bytes

    def pauseProducing(self) -> None:
        self._writable = self.queue.ready = False

    def resumeProducing(self) -> None:
        self._writable = True
        self.queue.ready = self.alive and not self.retired
        self._wake_waiters()

    def stopProducing(self) -> None:
        self._writable = self.queue.ready = False

    def _wake_waiters(self) -> None:
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            waiter.uplink_writable()

    # -- what the set and the holder do with it

    def logged_in(self, server_id: int | None) -> None:
        """The first commands were answered well: commands may be submitted."""
        self.server_id = server_id
        self.alive = True
        self.queue.ready = self._writable

    def stop_reading(self) -> None:
        """Read no replies for now: the only client waiting on this connection reads them too slowly."""
        if self._reading and self.transport is not None:
            self._reading = False
            self.transport.pauseProducing()

    def resume_reading(self) -> None:
        """Undo L{stop_reading}."""
        if not self._reading and self.transport is not None:
            self._reading = True
            self.transport.resumeProducing()

    def waits_only_for(self, client: object) -> bool:
        """Say whether no other client waits here: all replies outstanding are for `client` (the sink, or what it has as
        C{client}), or to commands of the proxy's own, which can wait or be sent again."""
        return all(client_of(entry.sink) is client for entry in self.queue.entries() if entry.counted)

    def ping(self, now: float) -> None:
        """Ask whether the server is there; L{unanswered} tells. Not inside of a MULTI, which would queue it."""
        self.pinged_at = now
        self.submit_own(Collector(1, self._ponged), encode_command("PING"), 1)

    def _ponged(self, replies: list[object] | None) -> None:
        self.pinged_at = None

    def unanswered(self, now: float) -> float:
        """For how many seconds a PING has not been answered; 0 when none is out."""
        return 0.0 if self.pinged_at is None else now - self.pinged_at

    @property
    def busy(self) -> bool:
        """Whether any reply is outstanding, also to commands of the proxy's own."""
        return bool(len(self.queue))

    @property
    def in_flight(self) -> int:
        """How many commands of clients are sent and not completely answered."""
        return sum(entry.want for entry in self.queue.entries() if entry.counted)

    def overdue(self, now: float, limit_s: float) -> ReplySink | None:
        """Say whose command has been at the head of the queue for longer than `limit_s` seconds, if any.

        Each command's time starts when it has become the first in the queue: what it waited for others is not its own.
        To be called regularly; the answer is as exact as the calls are frequent.
        """
        head = self.queue.head()
        if head is None or not head.timed:
            self._stalled = (None, 0, now)
            return None
        entry, want, since = self._stalled
        if head is not entry or head.want != want:
            self._stalled = (head, head.want, now)
            return None
        if now - since < limit_s:
            return None
        self._stalled = (head, head.want, now)
        overdue: ReplySink = head.sink
        return overdue

    def lag(self, now: float) -> float:
        """For how many seconds at least somebody has waited here for a reply; 0 when nobody has for as long as between
        two calls. What may wait by itself (BLPOP) does not count, nor do commands of the proxy's own, nor who does not
        read the replies."""
        entry, since = self._mark
        if entry is not None and entry.want and self.alive and self._reading:
            return now - since
        last = self.queue.tail()
        self._mark = (last if last is not None and last.timed and last.counted else None, now)
        return 0.0

    def retire(self) -> None:
        """Send nothing new; close once what is in flight has been answered."""
        self.retired = True
        self.queue.ready = self.queue.straight = False
        if not self.busy and self.alive:
            self.close()

    def abort(self) -> None:
        """Close at once; what is in flight is lost."""
        self._leave_holder()
        if self.transport is not None:
            self._unregister()
            self._reading = True  # there is nothing to resume any more
            self.transport.abortConnection()

    def close(self) -> None:
        """Close after what was written has left, or after a deadline."""
        self._leave_holder()
        if self.transport is not None:
            self.queue.flush()
            self._unregister()
            self.resume_reading()
            self.transport.loseConnection()
            if self._closing is None:
                self._closing = self.owner.clock.callLater(CLOSE_DEADLINE_S, self.transport.abortConnection)

    def _leave_holder(self) -> None:
        """Take no more commands, and tell the holder at once: whatever state it had here is gone from this moment on.

        The transport tells of its end a turn later, and by then the holder may have sent its next command elsewhere.
        """
        self.queue.ready = self.alive = False
        self.reader = None
        holder, self.holder = self.holder, None
        if holder is not None:
            holder.uplink_gone()

    def _unregister(self) -> None:
        # A TLS transport with a registered producer never finishes loseConnection.
        transport: Any = self.transport
        transport.unregisterProducer()


def client_of(sink: ReplySink) -> object:
    """The client behind a sink: the sink itself, or what it holds as C{client}."""
    return getattr(sink, "client", sink)
