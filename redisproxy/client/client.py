"""One client: the parts that it consists of, each with its own job, and what needs several of them.

What happens with a command is told by functions in other modules, which get the client that it came from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

from redisproxy.client.acquiring import Acquirer
from redisproxy.client.closing import Closing
from redisproxy.client.fair_share import FairShare
from redisproxy.client.identity import Identity
from redisproxy.client.output import Output
from redisproxy.client.push_messages import PushMessages
from redisproxy.client.receive_buffer import ReceiveBuffer
from redisproxy.client.route import Route
from redisproxy.client.sending import Sender
from redisproxy.client.session import DEFAULT_USER, Session, Skip
from redisproxy.client.slow_reader import SlowReader
from redisproxy.client.waiting import Reason, Waiting
from redisproxy.forwarding.twins import Lane, RequestFramer

if TYPE_CHECKING:
    from redisproxy.config.authentication import Authenticator
    from redisproxy.shared.core import Core
    from redisproxy.shared.registry import ClientRegistry


class Client:
    """The parts of one client. Those that few clients need are made with their first use.

    @ivar core: what all clients share. @ivar registry: all clients. @ivar auth: who may log in here.
    @ivar identity: who it is to others. @ivar session: what it has asked for, and is to find again.
    @ivar received: what has arrived and was not taken. @ivar waiting: why it is not taken.
    @ivar lane: the straight way to the uplink and back. @ivar output: what is written to the client.
    @ivar route: its uplink connection. @ivar acquirer: how it comes by one. @ivar sender: sends there.
    @ivar share: how much of a shared connection it may take. @ivar closing: its end.
    """

    __slots__ = (
        "_pushes",
        "_slow_reader",
        "acquirer",
        "auth",
        "closing",
        "core",
        "identity",
        "lane",
        "output",
        "received",
        "registry",
        "route",
        "sender",
        "session",
        "share",
        "waiting",
    )

    log = Logger(namespace="redisproxy.client")

    def __init__(self, core: Core, registry: ClientRegistry[Client], auth: Authenticator) -> None:
        self.core = core
        self.registry = registry
        self.auth = auth
        limits = core.limits
        framer = RequestFramer(None, max_held_bytes=limits.max_held_request_bytes, max_bulk_bytes=limits.max_bulk_bytes)
        lane = self.lane = Lane(self, framer, core.gate.flow)
        self.identity = Identity(core.clock.seconds())
        session = self.session = Session(None if auth.required else DEFAULT_USER)
        received = self.received = ReceiveBuffer(framer)
        output = self.output = Output(lane, session.reply_mode, core.gate.flow)
        waiting = self.waiting = Waiting(core, lane, received, output)
        closing = self.closing = Closing(core, self, output, waiting)
        share = self.share = FairShare(core, lane, received, self)
        route = self.route = Route(core, lane, session, received, waiting, share)
        self.acquirer = Acquirer(core, session, waiting, share, route, closing)
        self.sender = Sender(core, lane, session, waiting, route)
        self._pushes: PushMessages | None = None
        self._slow_reader: SlowReader | None = None

    @property
    def pushes(self) -> PushMessages:
        """Messages of the proxy's own to it."""
        if self._pushes is None:
            self._pushes = PushMessages(self.core, self.lane, self.session, self.output, self.route, self.closing)
        return self._pushes

    @property
    def slow_reader(self) -> SlowReader:
        """What happens while it does not read."""
        if self._slow_reader is None:
            self._slow_reader = SlowReader(
                self.core, self.lane, self.session, self.output, self.waiting, self.closing, self.route
            )
        return self._slow_reader

    # -- what the lane calls

    def look(self) -> None:
        """Take what can be taken now: something has arrived that did not go straight. It is held within a bound."""
        waiting = self.waiting
        waiting.look()
        if waiting.reasons:
            waiting.steer_reading()

    def deliver(self, data: bytes, done: int) -> None:
        """Pass a piece of the replies on; the lane has been told of them."""
        output = self.output
        if output.closed:
            return
        if data and not output.mode.muted:
            output.write(data)
        if output.holding:
            self.pushes.look()
        if output.alert:
            self._progress()

    def lost(self) -> None:
        """Part of C{ReplySink}: the outcome of what was sent is unknown, as when Redis itself goes away."""
        self.closing.drop("uplink_lost")

    def _progress(self) -> None:
        lane, waiting = self.lane, self.waiting
        if waiting.reasons & Reason.IN_FLIGHT and lane.pending <= lane.limit // 2:
            self.share.widen()
            waiting.unblock(Reason.IN_FLIGHT)
        if not lane.pending:
            if waiting.reasons & Reason.REPLIES:
                waiting.unblock(Reason.REPLIES)
            elif waiting.eof and not waiting.reasons:
                waiting.pump.run()

    # -- what others ask and tell

    @property
    def id(self) -> int:
        """The id that the client sees."""
        return self.identity.id

    @property
    def closed(self) -> bool:
        """Whether it has gone, or is about to."""
        return self.output.closed

    @property
    def address(self) -> str:
        """The client's address as Redis writes it."""
        return redis_address(self.output.transport.getPeer())

    @property
    def local_address(self) -> str:
        """The address that the client has connected to."""
        return redis_address(self.output.transport.getHost())

    @property
    def idle(self) -> bool:
        """Whether the client waits for nothing."""
        waits = self.lane.pending or self.waiting.reasons or self.received.current is not None
        return not waits and not self.session.subscribed

    def push(self, data: bytes) -> None:
        """Part of C{maintenance.Client}: send a push message."""
        self.pushes.send(data)

    def gate_closed(self) -> None:
        """The gate is closed: what waits at the server is to come back."""
        if self.waiting.blocking is not None:
            self.waiting.blocking.move()

    def second_passed(self, now: float) -> None:
        """Give the connection back that is not used, and begin again with a small share."""
        if self.share.needless(now - self.identity.last_seen) and self.idle:
            self.share.give_back()
            self.route.settle()
        self.share.second_passed()

    def count_refused(self, args: list[bytes]) -> None:
        """Count a command that the table knows as refused."""
        self.core.metrics.clients.refused[args[0].decode("latin-1").upper()] += 1

    def refuse(self, args: list[bytes], text: str) -> None:
        """Answer a command that is not for this proxy with an error, and count it."""
        self.count_refused(args)
        self.output.error(text)

    def apply_framing(self) -> None:
        """Tell framing what to stop at: everything before authentication and while messages are logged."""
        session, core, framer = self.session, self.core, self.received.framer
        framer.authenticated = session.user is not None
        skips = session.reply_mode.skip is not Skip.NO
        every = session.user is None or core.log_messages or skips or session.subscribed
        stop_at = core.table.special_if_dedicated if self.share.dedicated else core.table.special
        framer.special = None if every else stop_at
        self.output.sync()

    def release(self) -> None:
        """Part of C{closing.Holder}: give back everything that it holds."""
        self.lane.queue = None
        self.output.sync()
        self.received.current = None
        self.waiting.forget()
        self.core.maintenance.forget(self)
        self.acquirer.let_go()
        self.route.let_go()
        self.share.give_back()


def redis_address(peer: object) -> str:
    """An address in Redis's form: C{127.0.0.1:1234}, C{[::1]:1234}, C{/path:0} for a unix socket."""
    host = getattr(peer, "host", None)
    if host is not None:
        port = getattr(peer, "port", 0)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    name = getattr(peer, "name", None) or b""
    return f"{name.decode('utf-8', 'replace') if isinstance(name, bytes) else name}:0"
