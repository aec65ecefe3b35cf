"""The protocol of one client connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from redisproxy import resp
from redisproxy.client import queued, rules, security, tracking, urgent
from redisproxy.client.backlog import Backlog
from redisproxy.client.blocking import Blocking, end_aside
from redisproxy.client.intake import Intake, Unit
from redisproxy.client.large import Large
from redisproxy.client.pubsub import Subscription
from redisproxy.client.pushes import Pushes
from redisproxy.client.reasons import Reason
from redisproxy.client.route import Route
from redisproxy.client.session import DEFAULT_USER, Session, Skip
from redisproxy.client.share import Share
from redisproxy.forwarding.interfaces import Pending, ReplySink
from redisproxy.forwarding.twins import Lane, RequestFramer
from redisproxy.net.sockets import set_keepalive
from redisproxy.resp import BEGIN, COMMAND, END, RUN, ProtocolError
from redisproxy.shared import registry

if TYPE_CHECKING:
    from redisproxy.config import KeepaliveSettings
    from redisproxy.config.authentication import Authenticator
    from redisproxy.shared.core import Core

CLOSE_DEADLINE_S = 5.0
MAX_AGAIN = 100


@implementer(IHalfCloseableProtocol)
class ClientProtocol(Protocol):
    """One client.

    Commands are taken in order; what can't go on yet stays in C{intake}, with a L{Reason} that stops what is behind it.

    @ivar pending: replies that the client still waits for.
    @ivar route: where its commands go. @ivar lane: the straight way there, while nothing about it is special.
    @ivar share: how much of a shared connection it may take.
    @ivar blocked: the reasons why nothing is taken for now.
    """

    __slots__ = (
        "_alert",
        "_dropped_for",
        "_eof",
        "_gate",
        "_later",
        "_pumping",
        "_read_paused",
        "_watchdog",
        "auth",
        "backlog",
        "blocked",
        "blocking",
        "closed",
        "connected",
        "core",
        "created",
        "factory",
        "id",
        "intake",
        "keepalive",
        "lane",
        "large",
        "last_command",
        "last_seen",
        "pushes",
        "route",
        "session",
        "share",
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
        self.blocking: Blocking | None = None
        self.subscription: Subscription | None = None
        self.last_command = b""
        self.session = Session(None if auth.required else DEFAULT_USER)
        self._gate = core.gate
        framer = RequestFramer(None, max_held_bytes=limits.max_held_request_bytes, max_bulk_bytes=limits.max_bulk_bytes)
        self.intake = Intake(framer)
        self.route = Route(self)
        self.large = Large(self)
        self.backlog = Backlog(self)
        self.pushes = Pushes(self)
        self.lane = Lane(self, framer, core.metrics.flow)
        self.share = Share(self)
        self.blocked = 0
        self._alert = False
        self._dropped_for = ""
        self._eof = False
        self._later = False
        self._pumping = False
        self._read_paused = False
        self._watchdog: IDelayedCall | None = None

    # -- transport events

    def connectionMade(self) -> None:
        self._transport.registerProducer(self.backlog, True)
        self.lane.transport = self._transport
        if self.keepalive is not None:
            keep = self.keepalive
            set_keepalive(self._transport, keep.idle_s, keep.interval_s, keep.count)
        self.core.registry.add(self)
        self.apply_framing()
        self.log.info("client {id} connected from {address}", id=self.id, address=self.address)

    def dataReceived(self, data: bytes) -> None:
        if self.closed or self.lane.take(data):
            return
        self.look()
        if self.blocked:
            self._steer_reading()

    def look(self) -> None:
        """Take what can be taken now: something has arrived that did not go straight, or is to be taken again."""
        if not self.blocked and not self.closed:
            self._pump()

    def take_later(self) -> None:
        """Take nothing until L{take_now}, even if a reply has come that was waited for: more may have come with it."""
        self._later = True

    def take_now(self) -> None:
        """End L{take_later}."""
        self._later = False
        self.look()

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
        route = self.route
        if (
            route.at_hand
            and not self.blocked
            and not self.closed
            and self.intake.empty
            and not self.large.under_way
            and not self.session.special
            and self.blocking is None
        ):
            assert route.connection is not None
            self.lane.queue = route.connection.queue

    def sync_lane(self) -> None:
        """Let replies go straight to the transport, or past L{deliver}."""
        special = self.closed or self.session.muted or bool(self.backlog) or self._alert or bool(self.pushes.held)
        self.lane.straight_out = not special

    def readConnectionLost(self) -> None:
        """The client sends no more: answer what it has sent, then close. One blocked in BLPOP has gone."""
        self._eof = self._alert = True
        self.sync_lane()
        if self.blocking is not None:
            self.drop("")
        elif not self.blocked:
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
        framer = self.intake.framer
        framer.authenticated = session.user is not None
        every = session.user is None or core.log_messages or session.skip is not Skip.NO or session.subscribed
        stop_at = core.table.special_if_dedicated if self.share.dedicated else core.table.special
        framer.special = None if every else stop_at
        self.sync_lane()

    def _pump(self) -> None:
        if self._pumping or self._later:
            return
        self._pumping = True
        self.lane.queue = None
        intake, again = self.intake, 0
        try:
            if self.lane.left_over is not None:
                intake.park([self.lane.left_over])
                self.lane.left_over = None
            if self.lane.pending >= self.lane.limit:
                self.block(Reason.IN_FLIGHT)
            while not self.blocked and not self.closed:
                if not self._gate.open and not self.large.under_way and not urgent.comes_next(self):
                    if intake.waiting:
                        self._hold()
                    break
                unit = intake.current or intake.next()
                if unit is None:
                    break
                intake.current = unit
                if self._take(unit):
                    intake.current = None
                    again = 0
                elif (again := again + 1) > MAX_AGAIN:
                    raise RuntimeError("a command waits for nothing")
        except ProtocolError as error:
            self._broken(error)
        except Exception:
            self.crashed(Failure())
        finally:
            self._pumping = False
        self._open_lane()
        if self._eof and not self.blocked:
            self._end_of_input()

    def _end_of_input(self) -> None:
        """Everything that has arrived has been taken, and no more will come."""
        if self.large.sending:
            self.drop("")  # the rest of this command will never come
        elif self.blocking is not None:
            self.drop("")  # it could wait for ever
        elif not self.pending:
            self.close()

    def _hold(self) -> None:
        if security.comes_next(self):
            security.close(self)
            return
        self.core.metrics.clients.held_total += 1
        self._gate.hold(self)
        self.block(Reason.GATE)

    def _take(self, unit: Unit) -> bool:
        """Handle one unit; False when it has to wait, and then a reason to wait is set (or the client closed)."""
        kind, data, extra = unit
        if self.blocking is not None and not self.large.sending and not self.barrier():
            return False  # it may have to be sent again, and then nothing may have gone before it
        if kind == RUN:
            return self.forward(data, extra)
        if kind == COMMAND:
            return rules.command(self, data, extra)
        if kind == BEGIN:
            return rules.large(self, data, extra)
        return self.large.go_on(data, kind == END)

    def forward(self, data: bytes, count: int) -> bool:
        """Send `count` plain commands. False when that has to wait."""
        session = self.session
        if session.transaction is not None:
            return queued.queue(self, data, count)
        if (session.bound or not self.route.at_hand) and not self.route.obtain(pinned=session.bound):
            return False
        self.send_plain(data, count)
        return True

    def send_plain(self, data: bytes, count: int) -> None:
        """Send `count` commands whose replies go to the client as they are, on the connection that there is."""
        assert self.route.connection is not None
        tracking.send_caching(self)
        self._gate.admit(count)
        self._gate.flow.commands += count
        self.lane.pending += count
        self.route.connection.submit(self.lane, data, count)
        if self.lane.pending >= self.lane.limit:
            self.block(Reason.IN_FLIGHT)

    def submit(self, sink: ReplySink, data: bytes, timed: bool = True) -> Pending:
        """Send one command of the client's on the connection that there is, with `sink` for its reply."""
        tracking.send_caching(self)
        return self.send_alone(sink, data, timed)

    def send_alone(self, sink: ReplySink, data: bytes, timed: bool = True) -> Pending:
        """Like L{submit}, but CLIENT CACHING before it speaks of the command after it."""
        assert self.route.connection is not None
        self._gate.admit(1)
        self._gate.flow.commands += 1
        self.lane.pending += 1
        return self.route.connection.submit(sink, data, 1, timed)

    def submit_many(self, sink: ReplySink, data: bytes, count: int) -> None:
        """Send one command of the client's that gets `count` replies, all for `sink`."""
        assert self.route.connection is not None
        tracking.send_caching(self)
        self._gate.admit(count)
        self._gate.flow.commands += 1
        self.lane.pending += count
        self.route.connection.submit(sink, data, count)

    def barrier(self) -> bool:
        """True when no reply is outstanding, nor the rest of a large message; else wait for that."""
        if self.pending or (self.subscription is not None and self.subscription.mid_message):
            self.block(Reason.REPLIES)
            return False
        return True

    def crashed(self, failure: Failure) -> None:
        """What must not happen has happened: nothing about this client is to be trusted any more."""
        self.log.failure("internal error with client {id}", failure=failure, id=self.id)
        self.drop("internal_error")

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

    def changes_settled(self) -> None:
        """The subscriptions that were changing when this client published have changed."""
        self.unblock(Reason.SUBSCRIPTION)

    # -- replies

    def deliver(self, data: bytes, done: int) -> None:
        """Pass a piece of the replies on; C{pending} has been told of them."""
        if self.closed:
            return
        if data and not self.session.muted:
            self.write(data)
        if self.pushes.held:
            self.pushes.look()
        if self._alert:
            self._progress()

    def lost(self) -> None:
        """Part of C{ReplySink}: the outcome of what was sent is unknown, as when Redis itself goes away."""
        self.drop("uplink_lost")

    def answer(self, data: bytes) -> None:
        """Send a reply of the proxy's own. Only when no other reply is outstanding."""
        if not self.closed and not self.session.muted:
            self.write(data)

    def push(self, data: bytes) -> None:
        """Send a push message between two replies, whatever the mode of replies (CLIENT REPLY OFF) is."""
        self.pushes.send(data)

    def write(self, data: bytes) -> None:
        """Send bytes as they are, whatever the reply mode is: what is no reply, or a piece of one."""
        if self.closed:
            return
        self._gate.flow.bytes_to_clients += len(data)
        self._transport.write(data)
        if self.backlog:
            self.backlog.grow(len(data))

    def error(self, text: str) -> None:
        """Answer with an error; `text` is without the leading C{-}."""
        self.answer(resp.error(text))

    def count_refused(self, args: list[bytes]) -> None:
        """Count a command that the table knows as refused."""
        self.core.metrics.clients.refused[args[0].decode("latin-1").upper()] += 1

    def _progress(self) -> None:
        if self.blocked & Reason.IN_FLIGHT and self.pending <= self.lane.limit // 2:
            self.share.widen()
            self.unblock(Reason.IN_FLIGHT)
        if not self.pending:
            if self.blocked & Reason.REPLIES:
                self.unblock(Reason.REPLIES)
            elif self._eof and not self.blocked:
                self._pump()

    # -- stopping and starting to read

    def block(self, reason: Reason) -> None:
        """Take no more commands for `reason`."""
        self.blocked |= reason
        self.lane.queue = None
        if reason & (Reason.REPLIES | Reason.IN_FLIGHT):
            self._alert = True
            self.sync_lane()
        self._steer_reading()

    def _steer_reading(self) -> None:
        """Read no more while there is a reason, but from a client that waits at the server: its end is to be noticed.

        The server would go on waiting for it, and what it gives then would be lost. A bit more is held for it.
        """
        waits = self.blocking is not None and self.intake.framer.buffered <= self.core.limits.max_held_request_bytes
        pause = bool(self.blocked) and not waits
        if pause != self._read_paused and not self._eof and not self.closed:
            self._read_paused = pause
            (self._transport.pauseProducing if pause else self._transport.resumeProducing)()

    def unblock(self, reason: Reason) -> None:
        """`reason` is over; when it was the last one, go on."""
        self.blocked &= ~reason
        if self.blocked or self.closed:
            return
        self._alert = self._eof
        self.sync_lane()
        self._pump()
        self._steer_reading()

    # -- the end

    def _broken(self, error: ProtocolError) -> None:
        if self.pending:
            # The replies to what came before the broken command go first.
            self.block(Reason.REPLIES)
            return
        self.core.metrics.clients.closed["protocol_error"] += 1
        self._dropped_for = f"closed by the proxy ({error.text})"
        self.error(f"ERR {error.text}")
        self.close()

    def drop(self, reason: str) -> None:
        """Close at once; `reason` is counted and logged unless it is empty (the client left by itself)."""
        if self.closed:
            return
        if reason:
            self.core.metrics.clients.closed[reason] += 1
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
        return not self.pending and not self.blocked and self.intake.current is None and not self.session.subscribed

    def _let_go(self) -> None:
        """Release everything that the client holds; what is in flight on a shared connection is still waited for."""
        if self.closed:
            return
        self.closed = True
        self.lane.queue = None
        self.sync_lane()
        self.intake.current = None
        self._gate.unhold(self)
        self.core.aside.forget(self)
        self.core.changes.forget(self)
        self.core.maintenance.forget(self)
        self.route.let_go()
        self.share.give_back()
