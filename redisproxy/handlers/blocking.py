"""Blocking commands: BLPOP and its family, XREAD and XREADGROUP with BLOCK, WAIT.

Each holds a pinned connection while it waits. When the gate closes, the server is asked to end the wait
(C{CLIENT UNBLOCK}): a real reply goes to the client, a null reply is swallowed, and the command is sent again when the
gate is open, with what is left of its timeout. The client does not notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from redisproxy.client.waiting import Reason
from redisproxy.commands.lookup import block_option
from redisproxy.commands.treatment import Treatment
from redisproxy.forwarding.collector import Collector
from redisproxy.handlers import noting, pubsub, xread
from redisproxy.handlers.reply_sinks import Observed
from redisproxy.resp import COMMAND, encode_command, error, null_array

if TYPE_CHECKING:
    from redisproxy.client.client import Client
    from redisproxy.client.noted_reply import Changes

NULLS = (b"*-1\r\n", b"$-1\r\n", b"_\r\n")
RETRY_S = 0.005
AGAIN_S = 0.1
"""When CLIENT UNBLOCK is sent again: after the answer that nobody was blocked, and without an answer."""
_TIMEOUT_FIRST = frozenset({b"BLMPOP", b"BZMPOP"})
_STREAMS = frozenset({b"XREAD", b"XREADGROUP"})
_FAMILY = _STREAMS | _TIMEOUT_FIRST | {b"BLPOP", b"BRPOP", b"BRPOPLPUSH", b"BLMOVE", b"BZPOPMIN", b"BZPOPMAX"}


class Blocking(Observed):
    """The reply of a command that may wait at the server.

    @param args: the command; None when it can't be sent again (WAIT tells the truth of the moment when it is unblocked;
        of a module's command nobody knows where its timeout stands).
    @param changes: what it changes silently; noted with each reply, also when it was sent before notes were wanted.
    """

    __slots__ = (
        "_again", "_args", "_caching", "_changes", "_collected", "_deadline", "_next", "_released", "_timeout_at",
        "moving"
    )  # fmt: skip

    def __init__(self, client: Client, args: list[bytes] | None, changes: Changes = ()) -> None:
        super().__init__(client, lambda _: self._ended())
        self._changes = changes
        self.moving = False
        self._released = b""
        self._again = client.route.unblocked
        self._caching = client.session.caching
        self._next: IDelayedCall | None = None
        self._args = args
        self._collected = b""
        self._timeout_at = 0 if args is None else timeout_position(args)
        seconds = None if args is None else timeout_of(args, self._timeout_at)
        self._deadline = client.core.clock.seconds() + seconds if seconds else None

    def reply(self, data: bytes, done: int) -> None:
        if done and self._changes:
            self.client.core.notes.add(self._changes)
        if not (self.moving or self._again) or self._head or self._args is None:
            super().reply(data, done)
            return
        self._collected += data
        if not done and len(self._collected) < 6:
            return
        if self._collected in NULLS and self._left() > 0 and not self._released:
            self._send_again()
        else:
            super().reply(self._collected, done)

    def _observe(self, data: bytes, done: int) -> None:
        if done and self.client.waiting.blocking is self:
            self.client.waiting.blocking = None
        super()._observe(data, done)

    def lost(self) -> None:
        self.client.core.notes.add(self._changes)
        self._stop_timer()
        super().lost()

    def _ended(self) -> None:
        self._stop_timer()
        route = self.client.route
        if self.moving:
            route.leave_unblocked()
        else:
            route.unblocked = route.unblocked or bool(self._released)
            route.settle()

    def _left(self) -> float:
        return 1.0 if self._deadline is None else self._deadline - self.client.core.clock.seconds()

    def _send_again(self) -> None:
        client, args = self.client, list(self._args or ())
        if self._deadline is not None:
            args[self._timeout_at] = timeout_argument(args, self._left())
        client.lane.pending -= 1
        client.waiting.blocking = None
        self._stop_timer()
        client.route.leave_unblocked()
        if not client.closed:
            client.session.say_caching(self._caching)
            raw = encode_command(*args)
            client.session.reply_mode.comes_again_as(raw)
            client.received.take_again((COMMAND, raw, args))
            client.deliver(b"", 1)
            if client.core.blocked_commands.closed:
                client.waiting.until_the_switch_is_over()
            client.waiting.look()

    def release(self, how: bytes) -> None:
        """Another client wants the wait to end; `how` is TIMEOUT or ERROR."""
        under_way = self.moving or self._released
        self._released = how
        if not under_way:
            self._unblock()

    # -- when the gate closes

    @property
    def can_be_sent_again(self) -> bool:
        """Whether its client does not notice L{move}."""
        connection = self.client.route.connection
        return self._args is not None and connection is not None and connection.server_id is not None

    def move(self) -> None:
        """End the wait at the server, so that the drain need not wait for it."""
        under_way = self.moving or self._released
        self.moving = True
        if not under_way:
            self._unblock()

    def _unblock(self) -> None:
        client, connection = self.client, self.client.route.connection
        if client.waiting.blocking is self and connection is not None and connection.server_id is not None:
            how = (self._released,) if self._released else ()
            sent = client.core.uplinks.own_commands.run(
                "CLIENT", "UNBLOCK", connection.server_id, *how, on_reply=self._unblocked
            )
            sent.addBoth(self._sent)

    def _sent(self, _: object) -> None:
        # The connection that it goes out on may be lost before it is answered, or be waiting for a slow reader.
        if self.client.waiting.blocking is self and not self.client.closed:
            self._next = self.client.core.clock.callLater(AGAIN_S, self._unblock)

    def _stop_timer(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()

    def _unblocked(self, reply: object) -> None:
        # 0: the command had not reached the server yet, or has just been answered.
        if reply == 0 and self._next is not None and self._next.active():
            self._next.reset(RETRY_S)


def timeout_position(args: list[bytes]) -> int:
    """Where the timeout stands among the arguments."""
    name = args[0].upper()
    if name in _TIMEOUT_FIRST:
        return 1
    if name in _STREAMS:
        return block_option(args) + 1
    return len(args) - 1


def timeout_of(args: list[bytes], position: int) -> float | None:
    """The timeout in seconds; 0 and None (it is no number) never end."""
    try:
        value = float(args[position])
    except (ValueError, IndexError):
        return None
    return value / 1000 if args[0].upper() in _STREAMS else value


def timeout_argument(args: list[bytes], left_s: float) -> bytes:
    """A timeout of `left_s` seconds in the command's own unit; never 0, which would mean for ever."""
    if args[0].upper() in _STREAMS:
        return b"%d" % max(1, round(left_s * 1000))
    return b"%.3f" % max(0.001, left_s)


def blocking(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Run a blocking command, unless a switch is near."""
    dollars = xread.dollars_of(args)
    if dollars:
        return xread.resolve(client, args, dollars)
    if client.core.blocked_commands.closed and args[0].upper() in _FAMILY:
        client.waiting.until_the_switch_is_over()
        return False
    if not client.acquirer.obtain(pinned=True):
        return False
    changes = noting.changes_of(client, args)
    client.waiting.blocking = Blocking(client, args if args[0].upper() in _FAMILY else None, changes)
    client.sender.one(client.waiting.blocking, raw, timed=False)
    return True


def unblock(client: Client, how: bytes) -> bool:
    """End the client's blocking command as CLIENT UNBLOCK does, if there is one. `how` is TIMEOUT or ERROR."""
    waiting, held = client.waiting, client.core.blocked_commands
    if waiting in held:
        held.forget(waiting)
        _answer_unblocked(client, how)
    elif waiting.blocking is None:
        return False
    else:
        waiting.blocking.release(how)
    return True


def _answer_unblocked(client: Client, how: bytes) -> None:
    """Answer the command that waits for the end of a switch, as if it had waited at the server and been unblocked."""
    client.received.drop_current()
    by_error = error("UNBLOCKED client unblocked via CLIENT UNBLOCK")
    client.output.answer(by_error if how == b"ERROR" else null_array(client.session.resp_version))
    client.waiting.unblock(Reason.SWITCH)


def wait(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """WAIT looks at the last offset of its own connection: a write of ours there makes it that of now."""
    if not client.acquirer.obtain(pinned=True):
        return False
    assert client.route.connection is not None
    client.route.connection.submit_own(Collector(2, lambda _: None), _write(client) + encode_command("PING"), 2)
    client.waiting.blocking = Blocking(client, None)
    client.sender.one(client.waiting.blocking, raw, timed=False)
    return True


def _write(client: Client) -> bytes:
    """A write that is replicated, changes no data, and that nobody sees.

    SPUBLISH, since Redis 7, reaches only those who subscribe to this very channel; PUBLISH also those of C{*}.
    """
    sharded = (pubsub.major_version(client) or 0) >= 7
    return encode_command("SPUBLISH" if sharded else "PUBLISH", "__redisproxy:wait", "")
