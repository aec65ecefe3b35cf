"""The protocol of one client connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from redisproxy import registry, resp
from redisproxy.client import rules, transactions
from redisproxy.client.blocking import Blocking, end_aside
from redisproxy.client.observers import Observed
from redisproxy.client.pubsub import Subscription
from redisproxy.client.reasons import Reason
from redisproxy.errors import DatabaseRefused, UplinkMoved
from redisproxy.framing import Lane, RequestFramer
from redisproxy.interfaces import Connection, Key, Pending, ReplySink
from redisproxy.net import set_keepalive
from redisproxy.resp import BEGIN, COMMAND, END, RUN, ProtocolError
from redisproxy.session import DEFAULT_USER, Session, Skip
from redisproxy.sinks import Collector

if TYPE_CHECKING:
    from redisproxy.auth import Authenticator
    from redisproxy.config import KeepaliveSettings
    from redisproxy.core import Core

CLOSE_DEADLINE_S = 5.0
MAX_AGAIN = 100
LEAVE_BYTES = 1048576
"""With so much unread a client gets its shared connection to itself; looked at again after as much."""

Unit = tuple[int, bytes, Any]


@implementer(IHalfCloseableProtocol, IPushProducer)
class ClientProtocol(Protocol):
    """One client.

    Commands are taken in order; what can't go on yet stays as C{_unit}, with a L{Reason} that stops what is behind it.

    @ivar pending: replies that the client still waits for; it changes connection only when there are none.
    @ivar connection: where its commands go: a shared connection, or a pinned one when `pinned`.
    """

    __slots__ = (
        "_acquiring",
        "_alert",
        "_backlog",
        "_blocked",
        "_discarding",
        "_dropped_for",
        "_eof",
        "_framer",
        "_gate",
        "_parked",
        "_pumping",
        "_read_paused",
        "_stream",
        "_stream_timed",
        "_unit",
        "_watchdog",
        "auth",
        "blocking",
        "closed",
        "connected",
        "connection",
        "core",
        "created",
        "factory",
        "id",
        "keepalive",
        "lane",
        "last_command",
        "last_seen",
        "pinned",
        "session",
        "subscription",
        "transport",
    )

    log = Logger(namespace="redisproxy.client")

    def __init__(self, core: Core, auth: Authenticator, keepalive: KeepaliveSettings | None = None) -> None:
        limits = core.limits
        self.core = core
        self.auth = auth
        self.keepalive = keepalive
        self.id = 0
        self.created = self.last_seen = core.clock.seconds()
        self.closed = False
        self.connection: Connection | None = None
        self.pinned = False
        self.blocking: Blocking | None = None
        self.subscription: Subscription | None = None
        self.last_command = b""
        self.session = Session(None if auth.required else DEFAULT_USER)
        self._gate = core.gate
        self._framer = RequestFramer(
            None, max_held_bytes=limits.max_held_request_bytes, max_bulk_bytes=limits.max_bulk_bytes
        )
        self.lane = Lane(self, self._framer, core.metrics.flow)
        self._unit: Unit | None = None
        self._blocked = 0
        self._alert = False
        self._backlog = 0
        self._discarding = False
        self._dropped_for = ""
        self._parked: list[Unit] | None = None
        self._stream: Pending | None = None
        self._stream_timed = True
        self._eof = False
        self._pumping = False
        self._read_paused = False
        self._acquiring: Deferred[Connection] | None = None
        self._watchdog: IDelayedCall | None = None

    # -- transport events

    def connectionMade(self) -> None:
        self._transport.registerProducer(self, True)
        self.lane.transport = self._transport
        if self.keepalive is not None:
            keep = self.keepalive
            set_keepalive(self._transport, keep.idle_s, keep.interval_s, keep.count)
        self.core.registry.add(self)
        self.apply_framing()
        self.log.info("client {id} connected from {address}", id=self.id, address=self.address)

    def dataReceived(self, data: bytes) -> None:
        if not self.closed and not self.lane.take(data):
            self.look()

    def look(self) -> None:
        """Something has arrived that did not go straight."""
        if not self._blocked and not self.closed:
            self._pump()

    # -- the lane: the straight way, while nothing is special

    @property
    def pending(self) -> int:
        """Replies that the client still waits for."""
        return self.lane.pending

    @pending.setter
    def pending(self, count: int) -> None:
        self.lane.pending = count

    @property
    def active(self) -> bool:
        """Whether something has arrived since this was last set to False."""
        return self.lane.active

    @active.setter
    def active(self, value: bool) -> None:
        self.lane.active = value

    def _open_lane(self) -> None:
        """Let plain commands go straight from now on, if nothing about the client is special."""
        connection = self.connection
        if (
            connection is not None
            and connection.ready
            and not self.pinned
            and not self._blocked
            and not self.closed
            and self._unit is None
            and self._parked is None
            and self._stream is None
            and not self._discarding
            and not self.session.special
        ):
            self.lane.limit = self.core.limits.max_in_flight
            self.lane.queue = connection.queue

    def _sync_lane(self) -> None:
        """Let replies go straight to the transport, or past L{deliver}."""
        special = self.closed or self.session.muted or self._backlog or self._alert
        self.lane.straight_out = not special

    def readConnectionLost(self) -> None:
        """The client sends no more: answer what it has sent, then close. One blocked in BLPOP has gone."""
        self._eof = self._alert = True
        self._sync_lane()
        if self.blocking is not None:
            self.drop("")
        elif not self._blocked:
            self._pump()

    def writeConnectionLost(self) -> None:
        """The client reads no more."""
        self.drop("")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        why = self._dropped_for or reason.getErrorMessage()
        self.log.info("client {id} disconnected: {why}", id=self.id, why=why)
        self._let_go()
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        self.core.registry.remove(self)

    @property
    def _transport(self) -> Any:
        return self.transport

    # -- taking commands

    def apply_framing(self) -> None:
        """Tell framing what to stop at: everything before authentication and while messages are logged."""
        session, core = self.session, self.core
        self._framer.authenticated = session.user is not None
        every = session.user is None or core.log_messages or session.skip is not Skip.NO or session.subscribed
        self._framer.special = None if every else core.table.special
        self._sync_lane()

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        self.lane.queue = None
        again = 0
        try:
            if self.lane.left_over is not None:
                self.park([self.lane.left_over])
                self.lane.left_over = None
            if self.lane.pending > self.core.limits.max_in_flight:
                self.block(Reason.IN_FLIGHT)
            while not self._blocked and not self.closed:
                if not self._gate.open and self._stream is None and not self._discarding:
                    if self._unit is not None or self._parked is not None or self._framer.buffered:
                        self._hold()
                    break
                unit = self._unit or self.next_unit()
                if unit is None:
                    break
                self._unit = unit
                if self._take(unit):
                    self._unit = None
                    again = 0
                elif (again := again + 1) > MAX_AGAIN:
                    raise RuntimeError("a command waits for nothing")
        except ProtocolError as error:
            self._broken(error)
        except Exception:
            self._crashed(Failure())
        finally:
            self._pumping = False
        self._open_lane()
        if self._eof and not self._blocked:
            self._end_of_input()

    def _end_of_input(self) -> None:
        """Everything that has arrived has been taken, and no more will come."""
        if self._stream is not None:
            self.drop("")  # the rest of this command will never come
        elif self.blocking is not None:
            self.drop("")  # it could wait for ever
        elif not self.pending:
            self.close()

    def next_unit(self) -> Unit | None:
        """The next unit of what has arrived; None when more has to arrive first.

        @raise ProtocolError: framing found an error.
        """
        if self._parked is None:
            return self._framer.next()
        unit = self._parked.pop(0)
        if not self._parked:
            self._parked = None
        return unit

    def park(self, units: list[Unit]) -> None:
        """Put units back that were taken too early; they come next."""
        if units:
            self._parked = [*units, *(self._parked or ())]

    @property
    def current_unit(self) -> Unit | None:
        """The unit that is being handled."""
        return self._unit

    def take_again(self, unit: Unit) -> None:
        """Take `unit`, which was taken before, before everything that has not been."""
        waiting, self._unit = self._unit, None
        self.park([unit] if waiting is None else [unit, waiting])

    def go_on(self) -> None:
        """Take what can be taken now."""
        if not self._blocked and not self.closed:
            self._pump()

    def drop_current(self) -> None:
        """Forget the unit that waits; another one comes next."""
        waiting, self._unit = self._unit, None
        if waiting is None:
            self.next_unit()

    def replace_unit(self, unit: Unit) -> None:
        """Have `unit` stand for the one that is being handled, should it have to wait."""
        self._unit = unit

    def _hold(self) -> None:
        self.core.metrics.commands_held_total += 1
        self._gate.hold(self)
        self.block(Reason.GATE)

    def _take(self, unit: Unit) -> bool:
        """Handle one unit; False when it has to wait, and then a reason to wait is set (or the client closed)."""
        kind, data, extra = unit
        if self.blocking is not None and self._stream is None and not self.barrier():
            return False  # it may have to be sent again, and then nothing may have gone before it
        if kind == RUN:
            return self.forward(data, extra)
        if kind == COMMAND:
            return rules.command(self, data, extra)
        if kind == BEGIN:
            return rules.large(self, data, extra)
        return self._continue(data, kind == END)

    def forward(self, data: bytes, count: int) -> bool:
        """Send `count` plain commands. False when that has to wait."""
        session = self.session
        if session.transaction is not None:
            return transactions.queue(self, data, count)
        connection = self.connection
        at_hand = connection is not None and connection.ready and not self.pinned
        if not at_hand and not self.obtain(pinned=session.bound):
            return False
        self.send_plain(data, count)
        return True

    def send_plain(self, data: bytes, count: int) -> None:
        """Send `count` commands whose replies go to the client as they are, on the connection that there is."""
        assert self.connection is not None
        self._gate.admit(count)
        self._gate.flow.commands += count
        self.lane.pending += count
        self.connection.submit(self.lane, data, count)
        if self.lane.pending > self.core.limits.max_in_flight:
            self.block(Reason.IN_FLIGHT)

    def submit(self, sink: ReplySink, data: bytes, timed: bool = True) -> Pending:
        """Send one command of the client's on the connection that L{obtain} got, with `sink` for its reply."""
        assert self.connection is not None
        self._gate.admit(1)
        self._gate.flow.commands += 1
        self.lane.pending += 1
        return self.connection.submit(sink, data, 1, timed)

    def submit_many(self, sink: ReplySink, data: bytes, count: int) -> None:
        """Send one command of the client's that gets `count` replies, all for `sink`."""
        assert self.connection is not None
        self._gate.admit(count)
        self._gate.flow.commands += 1
        self.lane.pending += count
        self.connection.submit(sink, data, count)

    def barrier(self) -> bool:
        """True when no reply is outstanding; else wait for that."""
        if self.pending:
            self.block(Reason.REPLIES)
            return False
        return True

    # -- the uplink connection

    def obtain(self, pinned: bool) -> bool:
        """Have `connection` be one that takes commands now, pinned or shared. False when that has to wait."""
        pinned = pinned or not self.core.multiplex
        connection = self.connection
        if connection is not None and connection.alive and not connection.retired and pinned == self.pinned:
            if not connection.ready:
                connection.wait_writable(self)
                self.block(Reason.WRITABLE)
            return connection.ready
        if not self.barrier():
            return False
        self.unpin()
        key = self.session.key
        self.connection = None if pinned else self.core.uplinks.shared(key)
        if self.connection is None:
            self.acquire(pinned, key)
        return False if self._blocked else self.connection is not None

    def acquire(self, pinned: bool, key: Key) -> None:
        """Wait for a connection set to `key`."""
        uplinks = self.core.uplinks
        acquire = uplinks.acquire_pinned if pinned else uplinks.acquire_shared
        self.block(Reason.UPLINK)
        acquiring = self._acquiring = acquire(key)
        acquiring.addCallbacks(self._acquired, self._not_acquired, callbackArgs=(pinned,))
        acquiring.addErrback(self._crashed)

    def _acquired(self, connection: Connection, pinned: bool) -> None:
        self._acquiring = None
        if not pinned:
            if (connection.db, connection.resp_version) == self.session.key:
                self.connection = connection
            if not connection.ready:
                connection.wait_writable(self)
                self.block(Reason.WRITABLE)
            self.unblock(Reason.UPLINK)
            return
        self.connection = connection
        self.pinned = True
        connection.holder = self
        if not transactions.restore(self, lambda: self.unblock(Reason.UPLINK)):
            self.unblock(Reason.UPLINK)

    def _not_acquired(self, failure: Failure) -> None:
        self._acquiring = None
        if failure.check(CancelledError) or self.closed:
            return
        if not failure.check(UplinkMoved):
            self._fail_unit(failure)
        self.unblock(Reason.UPLINK)

    def _fail_unit(self, failure: Failure) -> None:
        """Answer the commands that waited for a connection which can't be had."""
        unit, self._unit = self._unit, None
        if failure.check(DatabaseRefused):
            text = failure.getErrorMessage()
        else:
            text = f"MASTERDOWN redisproxy cannot reach its Redis server: {failure.getErrorMessage()}"
        if unit is not None:
            rules.unreachable(self, unit, text, refused=bool(failure.check(DatabaseRefused)))

    def _crashed(self, failure: Failure) -> None:
        self.log.failure("internal error with client {id}", failure=failure, id=self.id)
        self.drop("internal_error")

    def leave(self) -> None:
        """Close the pinned connection with whatever state is on it, WATCHes too. Only when no reply is outstanding."""
        if self.pinned and self.connection is not None:
            self._close_pinned()
            self.session.connection_lost()
            if self.subscription is not None:
                self.drop("uplink_lost")  # messages may have been lost with it

    def _close_pinned(self) -> None:
        connection, self.connection = self.connection, None
        if self.pinned and connection is not None:
            connection.holder = None
            connection.abort()
        self.pinned = False

    def adopt(self, connection: Connection, subscription: Subscription | None = None) -> None:
        """Change over to a connection to another server, where the client's state has been made again."""
        self._close_pinned()
        self.subscription = subscription
        self.connection = connection
        connection.holder = self
        self.pinned = True

    def leave_quietly(self) -> None:
        """Close the pinned connection of a subscriber that goes on elsewhere, or is none any more."""
        self.subscription = None
        self.leave()

    def forget_shared(self) -> None:
        """The next command needs another shared connection."""
        if not self.pinned:
            self.connection = None

    def know_server(self) -> bool:
        """True when something is known of the Redis server; else wait for a connection to it."""
        uplinks = self.core.uplinks
        if uplinks.server or uplinks.shared(self.session.key) is not None:
            return True  # a server that does not know HELLO tells nothing
        self.acquire(False, self.session.key)
        return not self._blocked

    def set_version(self, version: int) -> None:
        """HELLO was answered: replies are of this RESP version from here on. No reply is outstanding."""
        session, connection = self.session, self.connection
        if version != session.resp_version and self.pinned and connection is not None:
            connection.submit_own(Collector(1, lambda _: None), resp.encode_command("HELLO", version), 1)
            connection.resp_version = version
        elif version != session.resp_version:
            self.forget_shared()
        session.resp_version = version

    def unblock_command(self, how: bytes) -> bool:
        """End this client's blocking command as CLIENT UNBLOCK does, if there is one. `how` is TIMEOUT or ERROR."""
        if self in self.core.aside:
            self.core.aside.forget(self)
            end_aside(self, how)
        elif self.blocking is None:
            return False
        else:
            self.blocking.release(how)
        return True

    @property
    def address(self) -> str:
        """The client's address as Redis writes it."""
        return registry.address(self._transport.getPeer())

    @property
    def local_address(self) -> str:
        """The address that the client has connected to."""
        return registry.address(self._transport.getHost())

    def unpin(self) -> None:
        """Give a pinned connection back. Only when nothing of the client's is on it."""
        if self.pinned and self.connection is not None:
            connection, self.connection = self.connection, None
            self.pinned = False
            connection.uplinks.give_back(connection)

    def settle(self) -> None:
        """The client's state may have left its pinned connection: give it back if so."""
        held = self.session.bound or self._stream is not None or self.pending
        if self.pinned and self.core.multiplex and not held:
            self.unpin()

    def uplink_gone(self) -> None:
        """The pinned connection is closed; nothing was in flight there, or L{lost} has told."""
        self.connection = None
        self.pinned = False
        self.session.connection_lost()
        if self.subscription is not None:
            self.drop("uplink_lost")  # messages may have been lost with it, and the client has to know

    def uplink_writable(self) -> None:
        """The connection takes more bytes."""
        self.unblock(Reason.WRITABLE)

    def gate_closed(self) -> None:
        """The gate is closed: what waits at the server is to come back."""
        if self.blocking is not None:
            self.blocking.move()

    def gate_opened(self) -> None:
        """The gate is open again."""
        self.unblock(Reason.GATE)

    def put_aside(self) -> None:
        """Wait with a blocking command until a switch is over."""
        self.core.aside.hold(self)
        self.block(Reason.ASIDE)

    def let_go(self) -> None:
        """The switch is over."""
        self.unblock(Reason.ASIDE)

    # -- large commands, passed on as they arrive

    def begin_stream(self, data: bytes, timed: bool) -> None:
        """Send the beginning of a command that is too large to hold; the rest follows by itself."""
        # Its time starts when all of it has been sent: how fast a client sends is not the server's doing.
        sink = Observed(self, lambda _: self.settle()) if timed else Blocking(self, None)
        self._stream = self.submit(sink, data, timed=False)
        self._stream_timed = timed
        if isinstance(sink, Blocking):
            self.blocking = sink

    def begin_discard(self) -> None:
        """Throw away the rest of a large command that was refused."""
        self._discarding = True

    def _continue(self, data: bytes, end: bool) -> bool:
        if self._discarding:
            self._discarding = not end
            return True
        connection = self.connection
        if connection is None or not connection.alive:
            self.drop("uplink_lost")
            return False
        if not connection.ready:
            connection.wait_writable(self)
            self.block(Reason.WRITABLE)
            return False
        connection.send_more(data)
        if end and self._stream is not None:
            self._stream.timed = self._stream_timed
            self._stream = None
            self.settle()
        return True

    # -- replies

    def deliver(self, data: bytes, done: int) -> None:
        """Pass a piece of the replies on; C{pending} has been told of them."""
        if self.closed:
            return
        if data and not self.session.muted:
            self._gate.flow.bytes_to_clients += len(data)
            self._transport.write(data)
        if self._backlog:
            self._grow_backlog(len(data))
        if self._alert:
            self._progress()

    def lost(self) -> None:
        """Part of C{ReplySink}: the outcome of what was sent is unknown, as when Redis itself goes away."""
        self.drop("uplink_lost")

    def answer(self, data: bytes) -> None:
        """Send a reply of the proxy's own. Only when no other reply is outstanding."""
        if self.closed or self.session.muted:
            return
        self._gate.flow.bytes_to_clients += len(data)
        self._transport.write(data)

    def error(self, text: str) -> None:
        """Answer with an error; `text` is without the leading C{-}."""
        self.answer(resp.error(text))

    def count_refused(self) -> None:
        """Count the command that is being handled as refused."""
        self.core.metrics.refused[self.last_command.decode("latin-1").upper()] += 1

    def _progress(self) -> None:
        if self._blocked & Reason.IN_FLIGHT and self.pending <= self.core.limits.max_in_flight // 2:
            self.unblock(Reason.IN_FLIGHT)
        if not self.pending:
            if self._blocked & Reason.REPLIES:
                self.unblock(Reason.REPLIES)
            elif self._eof and not self._blocked:
                self._pump()

    # -- IPushProducer: the client's transport tells whether the client reads its replies

    def pauseProducing(self) -> None:
        """Replies pile up: take no more commands, and read a pinned connection no further."""
        self._backlog = 1
        self._sync_lane()
        self.block(Reason.SLOW_READER)
        self._stop_replies()

    def resumeProducing(self) -> None:
        """The client has read what it had not."""
        self._backlog = 0
        self._sync_lane()
        if self.connection is not None:
            self.connection.resume_reading()
        self.unblock(Reason.SLOW_READER)

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost tells."""

    def _stop_replies(self) -> None:
        connection = self.connection
        if connection is None or not (self.pending or self.subscription):
            return
        if connection.waits_only_for(self):
            if not self.pinned:
                connection.uplinks.retire(connection)
            connection.stop_reading()

    def _grow_backlog(self, size: int) -> None:
        before = self._backlog
        self._backlog += size
        if self._backlog > self.core.limits.output_hard_bytes:
            self.drop("slow_reader")
        elif self._backlog // LEAVE_BYTES > before // LEAVE_BYTES:
            # Others get another connection. This one waits for its reader once nobody else waits for replies on it.
            self._leave_shared()

    def _leave_shared(self) -> None:
        connection = self.connection
        if connection is not None and not self.pinned and not connection.retired:
            connection.uplinks.retire(connection)
        self._stop_replies()

    # -- stopping and starting to read

    def block(self, reason: Reason) -> None:
        """Take no more commands for `reason`."""
        self._blocked |= reason
        self.lane.queue = None
        if reason & (Reason.REPLIES | Reason.IN_FLIGHT):
            self._alert = True
            self._sync_lane()
        if not self._read_paused and not self._eof and not self.closed:
            self._read_paused = True
            self._transport.pauseProducing()

    def unblock(self, reason: Reason) -> None:
        """`reason` is over; when it was the last one, go on."""
        self._blocked &= ~reason
        if self._blocked or self.closed:
            return
        self._alert = self._eof
        self._sync_lane()
        self._pump()
        if not self._blocked and not self.closed and self._read_paused and not self._eof:
            self._read_paused = False
            self._transport.resumeProducing()

    # -- the end

    def _broken(self, error: ProtocolError) -> None:
        if self.pending:
            # The replies to what came before the broken command go first.
            self.block(Reason.REPLIES)
            return
        self.core.metrics.clients_closed["protocol_error"] += 1
        self._dropped_for = f"closed by the proxy ({error.text})"
        self.error(f"ERR {error.text}")
        self.close()

    def drop(self, reason: str) -> None:
        """Close at once; `reason` is counted and logged unless it is empty (the client left by itself)."""
        if self.closed:
            return
        if reason:
            self.core.metrics.clients_closed[reason] += 1
            self._dropped_for = f"closed by the proxy ({reason})"
        self._let_go()
        self._transport.unregisterProducer()
        self._transport.abortConnection()

    def close(self) -> None:
        """Close after what was written has left, or after a deadline."""
        if self.closed:
            return
        self._let_go()
        transport = self._transport
        transport.unregisterProducer()
        if self._read_paused and not self._eof:
            # A paused transport may never notice that it is closed.
            transport.resumeProducing()
        transport.loseConnection()
        self._watchdog = self.core.clock.callLater(CLOSE_DEADLINE_S, self._overdue)

    def _overdue(self) -> None:
        self._watchdog = None
        self._transport.abortConnection()

    def abort(self) -> None:
        """Close at once, whatever has been written."""
        self._let_go()
        self._transport.abortConnection()

    @property
    def idle(self) -> bool:
        """Whether the client waits for nothing."""
        return not self.pending and not self._blocked and self._unit is None and self.subscription is None

    def _let_go(self) -> None:
        """Release everything that the client holds; what is in flight on a shared connection is still waited for."""
        if self.closed:
            return
        self.closed = True
        self.lane.queue = None
        self._sync_lane()
        self._unit = None
        self._gate.unhold(self)
        self.core.aside.forget(self)
        if self._acquiring is not None:
            self._acquiring.cancel()
        connection, self.connection = self.connection, None
        if connection is None:
            return
        connection.forget_waiter(self)
        connection.resume_reading()
        if not self.pinned:
            if connection.retired and connection.waits_only_for(self):
                connection.abort()  # the rest of a large reply that nobody reads any more
            return
        if self.pending or self.session.bound or self._stream is not None or not self.core.multiplex:
            connection.holder = None
            connection.abort()
        else:
            connection.uplinks.give_back(connection)
