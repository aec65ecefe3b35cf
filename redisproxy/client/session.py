"""One client's state and rules; no transport.

On a command's path the session stands between framing and the gate: it knows who the client is, which database and RESP
version it uses, and what of its state is bound to a connection to Redis (an open MULTI, a WATCH). The client protocol
asks it and tells it what Redis answered.
"""

from __future__ import annotations

from enum import Enum

from redisproxy import resp
from redisproxy.client.session_value import SessionValue, TransactionValue
from redisproxy.client.tracking_options import Tracking

SPOILER = resp.encode_command("ECHO")
"""Redis refuses to queue it, and EXEC fails from then on."""
EXECABORT = "EXECABORT Transaction discarded because of previous errors."
DEFAULT_USER = b"default"
MAX_WATCHED = 1000


class Skip(Enum):
    """Where a CLIENT REPLY SKIP is."""

    NO = "no"
    NEXT = "next"
    """The next command gets no reply."""
    NOW = "now"
    """The command that gets no reply has been taken; the one after it ends the silence."""


class Transaction:
    """An open MULTI: the commands that Redis has queued, remembered so that they can be queued again elsewhere.

    Nothing of it has run before EXEC, so that sending the commands again is safe.

    @ivar dead: it can't succeed any more; commands are answered with QUEUED, EXEC with EXECABORT.
    @ivar lost: the connection that it was open on is gone; it is to be queued again on another one.
    @ivar own: the commands among them that the proxy answers itself, with their places in EXEC's reply.
    @ivar selects: it holds a SELECT, which counts when EXEC succeeds.
    @ivar caching: the CLIENT CACHING that went right before its MULTI and counts until EXEC, if any.
    """

    __slots__ = (
        "_chunks",
        "_max_bytes",
        "_max_commands",
        "_own_size",
        "_size",
        "caching",
        "count",
        "dead",
        "lost",
        "own",
        "replayable",
        "selects",
    )

    def __init__(self, max_commands: int, max_bytes: int) -> None:
        self.count = 0
        self.caching = b""
        self.dead = False
        self.lost = False
        self.selects = False
        self.own: list[tuple[int, bytes]] = []
        self.replayable = True
        self._max_commands = max_commands
        self._max_bytes = max_bytes
        self._chunks: list[bytes] = []
        self._size = 0
        self._own_size = 0

    def remember(self, data: bytes, count: int) -> None:
        """Add `count` commands; past the bounds nothing is kept and the transaction can't be queued again."""
        self.count += count
        self._size += len(data)
        if self.count > self._max_commands or self._size > self._max_bytes:
            self.forget()
        if self.replayable:
            self._chunks.append(data)

    def spoil(self) -> None:
        """The server has refused something so that EXEC fails: so it does wherever this is queued again."""
        self.remember(SPOILER, 1)

    def has_room(self, raw: bytes) -> bool:
        """Whether another command that the proxy answers can be kept within the bounds."""
        return len(self.own) < self._max_commands and self._own_size + len(raw) <= self._max_bytes

    def keep(self, raw: bytes) -> None:
        """The last command is one that the proxy answers itself, once EXEC's reply comes to its place."""
        self.own.append((self.count - 1, raw))
        self._own_size += len(raw)

    def forget(self) -> None:
        """Give up remembering: something passed that can't be kept."""
        self.replayable = False
        self._chunks.clear()

    def replay(self) -> tuple[bytes, int]:
        """The bytes that queue it again, with MULTI and what went before it, and the number of commands in them."""
        begin = [self.caching, resp.encode_command("MULTI")]
        return b"".join([*begin, *self._chunks]), self.count + 1 + bool(self.caching)

    def connection_lost(self) -> None:
        """Its connection is gone."""
        self.lost = True
        if not self.replayable:
            self.dead = True

    def export(self) -> TransactionValue:
        """What another process has to know of it."""
        return TransactionValue(
            commands=b"".join(self._chunks),
            count=self.count,
            own=tuple(self.own),
            dead=self.dead,
            replayable=self.replayable,
            selects=self.selects,
            caching=self.caching,
        )

    def take_in(self, value: TransactionValue) -> None:
        """Be what another process has exported, lost with its connection there."""
        self.remember(value.commands, value.count)
        if not value.replayable:
            self.forget()
        self.own = list(value.own)
        self._own_size = sum(len(raw) for _, raw in value.own)
        self.dead, self.selects, self.caching = value.dead, value.selects, value.caching
        self.connection_lost()


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
    @ivar muted: replies are thrown away (CLIENT REPLY OFF and SKIP).
    """

    __slots__ = (
        "db",
        "failed_logins",
        "lib_name",
        "lib_version",
        "muted",
        "name",
        "resp_version",
        "skip",
        "skipped",
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
        self.reset()

    def reset(self) -> None:
        """What RESET does, except authentication."""
        self.db = 0
        self.resp_version = 2
        self.name = b""
        self.lib_name = b""
        self.lib_version = b""
        self.muted = False
        self.skip = Skip.NO
        self.skipped: bytes | None = None
        self.transaction: Transaction | None = None
        self.watching = False
        self.watch_lost = False
        self.watched: list[bytes] | None = []
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
            or self.skip is not Skip.NO
        )

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
        self.watched = []

    def watch(self, keys: list[bytes]) -> None:
        """WATCH was answered with OK."""
        self.watching = True
        if self.watched is not None:
            self.watched.extend(keys)
            if len(self.watched) > MAX_WATCHED:
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
        return SessionValue(
            user=self.user,
            failed_logins=self.failed_logins,
            db=self.db,
            resp_version=3 if self.resp_version == 3 else 2,
            name=self.name,
            lib_name=self.lib_name,
            lib_version=self.lib_version,
            muted=self.muted,
            skip=self.skip.value,
            skipped_waits=self.skip is Skip.NOW and first is not None and self.skipped is first,
            transaction=None if self.transaction is None else self.transaction.export(),
            watching=self.watching and bool(self.watched),
            watch_lost=self.watch_lost or (self.watching and not self.watched),
            watched=None if self.watched is None else tuple(self.watched),
            tracking=None if self.tracking is None else self.tracking.export(),
        )

    def take_in(self, value: SessionValue, max_commands: int, max_bytes: int) -> None:
        """Be what another process has exported; what it had at its connection there is lost.

        The caller says so again of what has been made again at another one.
        """
        self.user, self.failed_logins = value.user, value.failed_logins
        self.db, self.resp_version = value.db, value.resp_version
        self.name, self.lib_name, self.lib_version = value.name, value.lib_name, value.lib_version
        self.muted, self.skip, self.skipped = value.muted, Skip(value.skip), None
        self.transaction = None
        if value.transaction is not None:
            self.begin(max_commands, max_bytes).take_in(value.transaction)
        self.watching, self.watch_lost = False, value.watch_lost or value.watching
        self.watched = None if value.watched is None else list(value.watched)
        self.tracking = None if value.tracking is None else Tracking.take_in(value.tracking)

    def exec_lost(self) -> bytes:
        """EXEC's answer when the transaction has lost against a WATCH: nil."""
        return resp.null_array(self.resp_version)
