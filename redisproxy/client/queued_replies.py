"""The replies to commands that are queued while a MULTI is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.forwarding.twins import ReplyScanner

if TYPE_CHECKING:
    from redisproxy.client.open_transaction import Transaction
    from redisproxy.forwarding.interfaces import ReplySink

QUEUED = b"+QUEUED\r\n"


class QueuedReplies:
    """Passes them on, and has EXEC fail wherever the transaction is queued again if one is an error.

    A server that refuses a command because of its own state (C{READONLY}, C{NOREPLICAS}, C{OOM}) has EXEC fail. Another
    one would queue the same command, and carry out what the client takes for refused.

    @ivar client: see C{uplink.outstanding.client_of}.
    """

    __slots__ = ("_left", "_scanner", "_sink", "_transaction", "client")

    def __init__(self, sink: ReplySink, client: object, transaction: Transaction, count: int) -> None:
        self.client = client
        self._sink = sink
        self._transaction = transaction
        self._left = count
        self._scanner: ReplyScanner | None = None

    def reply(self, data: bytes, done: int) -> None:
        if self._scanner is not None or data != QUEUED * done:
            self._look(data)
        self._left -= done
        self._sink.reply(data, done)

    def _look(self, data: bytes) -> None:
        scanner = self._scanner = self._scanner or ReplyScanner()
        scanner.scan(data, 0, self._left)
        if scanner.errors:
            scanner.errors = 0
            self._transaction.spoil()

    def lost(self) -> None:
        self._sink.lost()
