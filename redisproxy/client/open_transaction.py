"""An open MULTI: what is remembered of it, so that it can be queued again at another server; no transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy import resp
from redisproxy.client.session_value import TransactionValue

if TYPE_CHECKING:
    from redisproxy.commands.changed_keys import Change

SPOILER = resp.encode_command("ECHO")
"""Redis refuses to queue it, and EXEC fails from then on."""
EXECABORT = "EXECABORT Transaction discarded because of previous errors."


class Transaction:
    """An open MULTI: the commands that Redis has queued, remembered so that they can be queued again elsewhere.

    Nothing of it has run before EXEC, so that sending the commands again is safe.

    @ivar dead: it can't succeed any more; commands are answered with QUEUED, EXEC with EXECABORT.
    @ivar lost: the connection that it was open on is gone; it is to be queued again on another one.
    @ivar own: the commands among them that the proxy answers itself, with their places in EXEC's reply.
    @ivar selects: it holds a SELECT, which counts when EXEC succeeds.
    @ivar caching: the CLIENT CACHING that went right before its MULTI and counts until EXEC, if any.
    @ivar changes: what it changes silently, with databases, while that is noted. @ivar databases: that it may run in.
    """

    __slots__ = (
        "_chunks",
        "_max_bytes",
        "_max_commands",
        "_own_size",
        "_size",
        "caching",
        "changes",
        "count",
        "databases",
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
        self.changes: set[tuple[int, Change]] = set()
        self.databases: set[int] = set()
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
