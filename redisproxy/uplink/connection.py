"""One authenticated connection to the Redis server, and the FIFO that matches replies to who waits for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from redisproxy.framing import ReplyScanner
from redisproxy.interfaces import Holder, ReplySink, Waiter
from redisproxy.resp import ProtocolError

if TYPE_CHECKING:
    from redisproxy.gate import Gate
    from redisproxy.metrics import Metrics


class Owner(Interface):
    """What a connection needs of the set that it belongs to."""

    gate: Gate
    metrics: Metrics

    def end_of_turn(self, call: Callable[[], None]) -> None:
        """Run `call` once, after all that arrived in this turn has been handled."""

    def connection_made(self, connection: UplinkConnection) -> None:
        """The transport is there; log in."""

    def connection_lost(self, connection: UplinkConnection, reason: Failure) -> None:
        """The connection is gone."""


class Entry:
    """Replies that somebody waits for.

    @ivar want: how many are not complete yet.
    @ivar counted: whether they were admitted at the gate (the proxy's own commands are not).
    @ivar timed: whether C{read_time_limit_ms} applies.
    """

    __slots__ = ("counted", "sink", "timed", "want")

    def __init__(self, sink: ReplySink, want: int, counted: bool = True, timed: bool = True) -> None:
        self.sink = sink
        self.want = want
        self.counted = counted
        self.timed = timed


@implementer(IPushProducer)
class UplinkConnection(Protocol):
    """One connection. Requests go in by L{submit}, replies come out to the sinks in the same order.

    @ivar ready: logged in, alive and writable; the command path tests just this.
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
        self.ready = False
        self.alive = False
        self.retired = False
        self.server_id: int | None = None
        self.holder: Holder | None = None
        self.fifo: deque[Entry] = deque()
        self.last_used = 0.0
        self._gate = owner.gate
        self._scanner = ReplyScanner()
        self._out: list[bytes] = []
        self._writable = True
        self._waiters: dict[Waiter, None] = {}
        self._reading = True
        self._stalled: tuple[Entry | None, int, float] = (None, 0, 0.0)

    @property
    def uplinks(self) -> Owner:
        """The set that it belongs to."""
        return self.owner

    # -- sending

    def submit(self, sink: ReplySink, data: bytes, count: int, timed: bool = True) -> Entry:
        """Send `data`, `count` commands that were admitted at the gate, at the end of this turn."""
        entry = Entry(sink, count, True, timed)
        self.fifo.append(entry)
        if not self._out:
            self.owner.end_of_turn(self.flush)
        self._out.append(data)
        return entry

    def submit_own(self, sink: ReplySink, data: bytes, count: int) -> None:
        """Send commands of the proxy's own, which do not count at the gate."""
        self.fifo.append(Entry(sink, count, False))
        self._send(data)

    def send_more(self, data: bytes) -> None:
        """Send the next piece of a command whose beginning was submitted."""
        self._send(data)

    def _send(self, data: bytes) -> None:
        if not self._out:
            self.owner.end_of_turn(self.flush)
        self._out.append(data)

    def flush(self) -> None:
        """Write what was collected in this turn."""
        out = self._out
        if out and self.transport is not None:
            self._out = []
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))

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
        self.owner.connection_made(self)

    def dataReceived(self, data: bytes) -> None:
        released = 0
        position = 0
        size = len(data)
        fifo = self.fifo
        try:
            while position < size:
                if not fifo:
                    raise ProtocolError("bytes that belong to no request")
                entry = fifo[0]
                start = position
                position, done = self._scanner.scan(data, start, entry.want)
                if done:
                    if entry.counted:
                        released += done
                    entry.want -= done
                    if not entry.want:
                        fifo.popleft()
                entry.sink.reply(data if not start and position == size else data[start:position], done)
        except ProtocolError as error:
            self.log.error("the uplink broke the protocol: {error}", error=error.text)
            self.abort()
        finally:
            if released:
                self._gate.release(released)
        if self.retired and not fifo and self.alive:
            self.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ready = self.alive = False
        entries = list(self.fifo)
        self.fifo.clear()
        self._out.clear()
        for entry in entries:
            if entry.counted:
                self._gate.release(entry.want)
        self.owner.connection_lost(self, reason)
        holder, self.holder = self.holder, None
        if holder is not None:
            holder.uplink_gone()
        for entry in entries:
            entry.sink.lost()
        self._wake_waiters()

    # -- IPushProducer: the transport tells whether it takes more bytes

    def pauseProducing(self) -> None:
        self._writable = self.ready = False

    def resumeProducing(self) -> None:
        self._writable = True
        self.ready = self.alive and not self.retired
        self._wake_waiters()

    def stopProducing(self) -> None:
        self._writable = self.ready = False

    def _wake_waiters(self) -> None:
        waiters, self._waiters = self._waiters, {}
        for waiter in waiters:
            waiter.uplink_writable()

    # -- what the set and the holder do with it

    def logged_in(self, server_id: int | None) -> None:
        """The first commands were answered well: commands may be submitted."""
        self.server_id = server_id
        self.alive = True
        self.ready = self._writable

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
        """Say whether every reply outstanding here is for `client` (the sink, or the C{client} of the sink)."""
        return all(client_of(entry.sink) is client for entry in self.fifo)

    @property
    def in_flight(self) -> int:
        """How many commands of clients are sent and not completely answered."""
        return sum(entry.want for entry in self.fifo if entry.counted)

    def overdue(self, now: float, limit_s: float) -> ReplySink | None:
        """Say whose command has been at the head of the queue for longer than `limit_s` seconds, if any.

        Each command's time starts when it has become the first in the queue: what it waited for others is not its own.
        To be called regularly; the answer is as exact as the calls are frequent.
        """
        if not self.fifo or not self.fifo[0].timed:
            self._stalled = (None, 0, now)
            return None
        entry, want, since = self._stalled
        head = self.fifo[0]
        if head is not entry or head.want != want:
            self._stalled = (head, head.want, now)
            return None
        if now - since < limit_s:
            return None
        self._stalled = (head, head.want, now)
        return head.sink

    def retire(self) -> None:
        """Send nothing new; close once what is in flight has been answered."""
        self.retired = True
        self.ready = False
        if not self.fifo and self.alive:
            self.close()

    def abort(self) -> None:
        """Close at once; what is in flight is lost."""
        self.ready = self.alive = False
        if self.transport is not None:
            self._unregister()
            self.transport.abortConnection()

    def close(self) -> None:
        """Close after what was written has left."""
        self.ready = self.alive = False
        if self.transport is not None:
            self.flush()
            self._unregister()
            self.resume_reading()
            self.transport.loseConnection()

    def _unregister(self) -> None:
        # A TLS transport with a registered producer never finishes loseConnection.
        transport: Any = self.transport
        transport.unregisterProducer()


def client_of(sink: ReplySink) -> object:
    """The client behind a sink: the sink itself, or what it holds as C{client}."""
    return getattr(sink, "client", sink)
