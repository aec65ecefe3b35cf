"""MONITOR, where C{allow_commands} names it: a pinned connection that brings a line for each command the server runs.

Lines come between the replies (https://redis.io/docs/latest/commands/monitor/), so everything from the connection
passes a L{Monitor}, which tells them apart. In a switch MONITOR is sent again at the new server, as subscriptions are
made again there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from redisproxy.client.message_stream import MONITORS
from redisproxy.client.waiting import Reason
from redisproxy.commands.treatment import Rule, Treatment
from redisproxy.forwarding.collector import Collector
from redisproxy.forwarding.twins import ReplyScanner
from redisproxy.handlers import local_commands, pubsub
from redisproxy.handlers.forward import forward
from redisproxy.handlers.reply_sinks import Observed
from redisproxy.handlers.subscription import Subscription
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.resp import RespError, encode_command

if TYPE_CHECKING:
    from redisproxy.client.client import Client
    from redisproxy.forwarding.interfaces import Connection

NOT_WHILE_TRACKED = (
    "ERR redisproxy does not run MONITOR for a client with CLIENT TRACKING on, whose messages would come between its"
    " lines; use another connection"
)
NOT_WHILE_MONITORING = "ERR redisproxy does not run this command for a client that monitors; use another connection"
_LINE = re.compile(rb"\+[0-9]+\.[0-9]{6} \[")
_LINE_BEGINS = 32
"""Bytes of which every line has more, and in which it differs from every reply."""
_ANSWERED = frozenset({b"QUIT", b"RESET", b"CLIENT"})
_NOT_ANSWERED = frozenset({b"REPLY", b"TRACKING", b"CACHING"})
"""Of CLIENT: the first could cut a line, the others would bring messages between them."""


class Monitor(Subscription):
    """A client that monitors, and the connection that brings the lines.

    @ivar in_line: a line has begun and not ended.
    """

    FLAG = MONITORS

    def __init__(self, client: Client, connection: Connection, before: Monitor | None = None) -> None:
        """
        @param before: the one at the server that is left; a line may be cut there.
        """
        super().__init__(client, connection)
        self.in_line = False
        self._in_reply = False
        self._rest = b""
        self._before = before
        self._replies = ReplyScanner()

    def __bool__(self) -> bool:
        return True

    @property
    def amid(self) -> bool:
        """Part of L{Subscription}. Behind the marker of a cut, the client has nothing of a line that has not ended."""
        return self.in_line and (self.cut is None or not self.cut.passed)

    def feed(self, data: bytes) -> None:
        """Take what the server has sent.

        @raise ProtocolError: these are no lines and no replies.
        """
        data, self._rest = self._rest + data, b""
        at = passed = 0  # in between are lines
        while at < len(data):
            if not self._in_reply and not self.in_line:
                if _undecided(data, at):
                    self._rest, data = data[at:], data[:at]
                    break
                self.in_line = _LINE.match(data, at) is not None
            if self.in_line:
                at = self._line(data, at)
            else:
                self._pass(data[passed:at])
                at = passed = self._reply(data, at)
        self._pass(data[passed:])

    def _line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at) + 1
        self.in_line = not end
        return end or len(data)

    def _pass(self, lines: bytes) -> None:
        if lines and self.cut is not None:
            self.cut.lines(lines)
        elif lines and self.client.route.stream is self:
            self.end_cut_line()
            self.client.deliver(lines, 0)

    def _reply(self, data: bytes, at: int) -> int:
        end, done = self._replies.scan(data, at, 1)
        self._in_reply = not done
        self.connection.queue.dispatch(data[at:end])
        return end

    def end_cut_line(self) -> None:
        """End the line that was under way when its server was left: what comes now would be part of it."""
        before, self._before = self._before, None
        if before is not None and before.in_line:
            self.client.deliver(b"\r\n", 0)

    # -- what the client sends meanwhile

    def command(self, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
        """Handle a command of a client that monitors; what the server is asked, it answers between its lines."""
        client, name = self.client, args[0].upper()
        if name == b"MONITOR":
            return True  # as Redis: no answer, either
        if treatment.rule in (Rule.FORWARD, Rule.PUBLISH):
            self.end_cut_line()
            return forward(client, raw, 1)
        if not self.at_end_of_line():
            return False
        if name in _ANSWERED and treatment.rule is Rule.LOCAL and not _binds(args):
            return local_commands.answer(client, args)
        client.output.error(NOT_WHILE_MONITORING)
        return True

    def at_end_of_line(self) -> bool:
        """True when the proxy may answer something itself; else wait for that."""
        self.end_cut_line()
        if self.in_line or self.client.lane.pending:
            self.client.waiting.block(Reason.REPLIES)
            return False
        return True

    # -- moving

    async def copy_to(self, connection: Connection) -> Monitor:
        """Monitor another server; fire when it has agreed. Its lines count from the moment of the change.

        @raise UplinkUnavailable: the connection was lost, or it refused.
        """
        return await monitoring_at(self.client, connection, self)


async def monitoring_at(client: Client, connection: Connection, before: Monitor | None) -> Monitor:
    """Have a connection bring the lines; see L{Monitor.copy_to}.

    @param before: what has brought them up to now.
    """
    monitor = Monitor(client, connection, before)
    agreed: Deferred[None] = Deferred()

    def answered(replies: list[object] | None) -> None:
        if replies is None:
            agreed.errback(Failure(UplinkUnavailable("the connection was lost while MONITOR was sent")))
        elif isinstance(replies[0], RespError):
            agreed.errback(Failure(UplinkUnavailable(replies[0].text)))
        else:
            agreed.callback(None)

    connection.holder = monitor
    connection.submit_own(Collector(1, answered), encode_command("MONITOR"), 1)
    try:
        await agreed
    except (UplinkUnavailable, CancelledError):
        if connection.alive:
            connection.abort()
        raise
    return monitor


def _undecided(data: bytes, at: int) -> bool:
    """Say whether more has to arrive to tell a line from a reply."""
    return data[at : at + 1] == b"+" and len(data) - at < _LINE_BEGINS and data.find(b"\n", at) < 0


def _binds(args: list[bytes]) -> bool:
    return len(args) > 1 and args[1].upper() in _NOT_ANSWERED


def begin(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Handle MONITOR. No reply is outstanding."""
    if client.session.tracking is not None:
        client.refuse(args, NOT_WHILE_TRACKED)
        return True
    if not client.acquirer.obtain(pinned=True):
        return False
    connection = client.route.connection
    assert connection is not None
    client.route.stream = Monitor(client, connection)
    client.session.subscribed = True
    client.apply_framing()

    def done(head: bytes) -> None:
        if not head.startswith(b"+OK"):
            pubsub.end(client)

    client.sender.one(Observed(client, done), raw)
    client.waiting.block(Reason.REPLIES)
    return True
