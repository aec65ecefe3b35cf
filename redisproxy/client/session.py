"""One client's state and rules; no transport.

On a command's path the session stands between framing and the gate: it knows who the client is, which database and RESP
version it uses, and what of its state is bound to a connection to Redis (an open MULTI, a WATCH). The client protocol
asks it and tells it what Redis answered.
"""

from __future__ import annotations

from enum import Enum

from redisproxy import resp
from redisproxy.client.open_transaction import Transaction
from redisproxy.client.session_value import MAX_WATCHED, MAX_WATCHED_BYTES, SessionValue
from redisproxy.client.tracking_options import Tracking

DEFAULT_USER = b"default"


class Skip(Enum):
    """Where a CLIENT REPLY SKIP is."""

    NO = "no"
    NEXT = "next"
    """The next command gets no reply."""
    NOW = "now"
    """The command that gets no reply has been taken; the one after it ends the silence."""


class ReplyMode:
    """Which replies the client gets (CLIENT REPLY).

    @ivar muted: replies are thrown away (OFF and SKIP).
    @ivar skip: where a SKIP is. @ivar skipped: the command that gets no reply because of it.
    """

    __slots__ = ("muted", "skip", "skipped")

    def __init__(self) -> None:
        self.on()

    def on(self) -> None:
        """The client gets every reply."""
        self.muted = False
        self.skip = Skip.NO
        self.skipped: bytes | None = None

    def off(self) -> None:
        """The client gets none."""
        self.muted, self.skip = True, Skip.NO

    def skip_next(self) -> None:
        """The client does not get the next one."""
        off = self.muted and self.skip is not Skip.NOW
        self.skip = Skip.NO if off else Skip.NEXT

    def skip_now(self) -> None:
        """The client does not get the one of the command that is taken now."""
        self.muted, self.skip = True, Skip.NOW

    def command_comes(self, raw: bytes) -> None:
        """Mute the command that comes now, or end that with the one after it."""
        now = self.skip is Skip.NEXT
        self.muted = now
        self.skip = Skip.NOW if now else Skip.NO
        self.skipped = raw if now else None

    def comes_again_as(self, raw: bytes) -> None:
        """The last command that was taken is taken again, in other words."""
        if self.skip is Skip.NOW:
            self.skipped = raw


class Session:
    """State of one client that outlives any connection to Redis.

    @ivar user: the name it has authenticated as; None before.
    @ivar db: the SELECTed database.
    @ivar failed_logins: wrong passwords so far; RESET does not forget them.
    @ivar resp_version: 2 or 3.
    @ivar watching: Redis holds a WATCH of this client on its pinned connection.
    @ivar watched: the keys of its WATCHes; None when they can't be told (too many, or in several databases).
    @ivar watch_lost: a connection with a WATCH is gone; the next EXEC must fail, because nobody knows whether a watched
        key has changed.
    @ivar subscribed: it is a subscriber.
    @ivar tracking: what it has asked of CLIENT TRACKING, while that is on.
    @ivar reply_mode: which replies the client gets; always the same object.
    """

    __slots__ = (
        "db",
        "failed_logins",
        "lib_name",
        "lib_version",
        "name",
        "reply_mode",
        "resp_version",
        "subscribed",
        "tracking",
        "transaction",
        "user",
        "watch_lost",
        "watched",
        "watching",
    )

    def __init__(self, user: bytes | None) -> None:
        self.user = user
        self.failed_logins = 0
        self.lib_name = self.lib_version = b""
        self.reply_mode = ReplyMode()
        self.reset()

    def reset(self) -> None:
        """What RESET does, except authentication. The client's library is the same afterwards, and stays known."""
        self.db = 0
        self.resp_version = 2
        self.name = b""
        self.reply_mode.on()
        self.transaction: Transaction | None = None
        self.watching = False
        self.watch_lost = False
        self.watched: tuple[bytes, ...] | None = ()
        self.subscribed = False
        self.tracking: Tracking | None = None

    @property
    def key(self) -> tuple[int, int]:
        """What a connection has to be set to: database and RESP version."""
        return (self.db, self.resp_version)

    @property
    def special(self) -> bool:
        """Whether the next plain command needs more than to be sent on."""
        return (
            self.transaction is not None
            or self.watching
            or self.watch_lost
            or self.subscribed
            or self.tracking is not None
            or self.reply_mode.skip is not Skip.NO
        )

    @property
    def caching(self) -> bytes:
        """What CLIENT CACHING has said of the next command; empty if nothing."""
        return b"" if self.tracking is None else self.tracking.caching

    def say_caching(self, mode: bytes) -> None:
        """Have it said again of a command that is sent again."""
        if self.tracking is not None and mode:
            self.tracking.caching = mode

    @property
    def bound(self) -> bool:
        """Whether state of this client lives on its connection to Redis."""
        transaction = self.transaction
        at_server = self.watching or self.subscribed or self.tracking is not None
        return at_server or (transaction is not None and not transaction.dead)

    def begin(self, max_commands: int, max_bytes: int) -> Transaction:
        """MULTI was answered with OK."""
        self.transaction = Transaction(max_commands, max_bytes)
        return self.transaction

    def end(self) -> None:
        """EXEC or DISCARD was answered: both end the transaction and every WATCH."""
        self.transaction = None
        self.unwatch()

    def unwatch(self) -> None:
        """UNWATCH was answered with OK."""
        self.watching = False
        self.watch_lost = False
        self.watched = ()

    def watch(self, keys: list[bytes]) -> None:
        """WATCH was answered with OK."""
        self.watching = True
        if self.watched is not None:
            self.watched += tuple(keys)
            if len(self.watched) > MAX_WATCHED or sum(map(len, self.watched)) > MAX_WATCHED_BYTES:
                self.watched = None

    def lose_watch(self) -> None:
        """A watched key has changed, or nobody knows: the next EXEC fails."""
        self.watching = False
        self.watch_lost = True

    def connection_lost(self) -> None:
        """The pinned connection is gone, and with it what Redis held there."""
        if self.watching:
            self.lose_watch()
        if self.transaction is not None:
            self.transaction.connection_lost()

    def leave_behind(self) -> None:
        """The client goes on at another connection without what it had at the last one: its next EXEC fails."""
        self.connection_lost()
        if self.transaction is not None:
            self.transaction.dead = True

    def export(self, first: bytes | None) -> SessionValue:
        """What another process has to know of it.

        @param first: the command that is to be taken next, if it has left framing.
        """
        mode, watches = self.reply_mode, self._watch_can_be_proven
        return SessionValue(
            user=self.user,
            failed_logins=self.failed_logins,
            db=self.db,
            resp_version=3 if self.resp_version == 3 else 2,
            name=self.name,
            lib_name=self.lib_name,
            lib_version=self.lib_version,
            muted=mode.muted,
            skip=mode.skip.value,
            skipped_waits=mode.skip is Skip.NOW and first is not None and mode.skipped is first,
            transaction=None if self.transaction is None else self.transaction.export(),
            watching=watches,
            watch_lost=self.watch_lost or (self.watching and not watches),
            watched=self.watched,
            tracking=None if self.tracking is None else self.tracking.export(),
        )

    @property
    def _watch_can_be_proven(self) -> bool:
        """Whether the WATCH can be made again elsewhere. A subscriber changes over with its subscriptions only."""
        transaction = self.transaction
        queued_again = transaction is None or (transaction.replayable and not transaction.dead and not transaction.lost)
        return self.watching and bool(self.watched) and not self.subscribed and queued_again

    def take_in(self, value: SessionValue, max_commands: int, max_bytes: int) -> None:
        """Be what another process has exported; what it had at its connection there is lost.

        The caller says so again of what has been made again at another one.
        """
        self.user, self.failed_logins = value.user, value.failed_logins
        self.db, self.resp_version = value.db, value.resp_version
        self.name, self.lib_name, self.lib_version = value.name, value.lib_name, value.lib_version
        mode = self.reply_mode
        mode.muted, mode.skip, mode.skipped = value.muted, Skip(value.skip), None
        self.transaction = None
        if value.transaction is not None:
            self.begin(max_commands, max_bytes).take_in(value.transaction)
        self.watching, self.watch_lost = False, value.watch_lost or value.watching
        self.watched = value.watched
        self.tracking = None if value.tracking is None else Tracking.take_in(value.tracking)

    def exec_lost(self) -> bytes:
        """EXEC's answer when the transaction has lost against a WATCH: nil."""
        return resp.null_array(self.resp_version)
