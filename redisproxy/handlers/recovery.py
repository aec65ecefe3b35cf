"""A client's state, made again when its connection to Redis was lost and it has got another one.

Tracking comes first, then an open MULTI, queued again from what is remembered of it: nothing of it has run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.python.failure import Failure

from redisproxy.forwarding.collector import Collector
from redisproxy.handlers.placeholders import give_up
from redisproxy.handlers.subscription import stream_of
from redisproxy.handlers.unreachable import refuse
from redisproxy.resp import RespError

if TYPE_CHECKING:
    from redisproxy.client.client import Client
    from redisproxy.client.open_transaction import Transaction
    from redisproxy.client.tracking_options import Tracking
    from redisproxy.forwarding.interfaces import Connection


class Recovery:
    """Makes the state of one client again. Part of C{acquiring.Recovery}; only while the gate is open."""

    __slots__ = ("_client",)

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def needed(self) -> bool:
        """Whether tracking, or a transaction, has to be made again before the next command."""
        tracking = self._client.session.tracking
        return (tracking is not None and tracking.lost) or self._lost_transaction() is not None

    def _lost_transaction(self) -> Transaction | None:
        transaction = self._client.session.transaction
        return transaction if transaction is not None and transaction.lost and not transaction.dead else None

    def restore(self, on_done: Callable[[], None]) -> bool:
        """Make lost tracking again on the client's new connection, and then a lost transaction.

        @param on_done: called when the server has answered. A client is dropped when the server refuses tracking; its
            transaction is dead when anything of it was not queued.
        @return: whether there is anything to wait for.
        """
        client = self._client
        tracking, connection = client.session.tracking, client.route.connection
        transaction = self._lost_transaction()
        if connection is None:
            return False
        if tracking is not None:
            stream_of(client)
            if tracking.lost:
                self._track(tracking, connection, on_done if transaction is None else _nothing)
        if transaction is not None:
            self._queue(transaction, connection, on_done)
        return transaction is not None or (tracking is not None and tracking.lost)

    def _track(self, tracking: Tracking, connection: Connection, on_done: Callable[[], None]) -> None:
        commands = tracking.commands()

        def answered(replies: list[object] | None) -> None:
            if replies is not None:
                if replies != [b"OK"] * len(commands):
                    self._client.closing.drop("uplink_lost")
                tracking.lost = False
            if not self._client.closed:
                on_done()

        self._send(connection, b"".join(commands), len(commands), answered)

    def _queue(self, transaction: Transaction, connection: Connection, on_done: Callable[[], None]) -> None:
        """Queue it again; the QUEUED replies are swallowed."""
        data, count = transaction.replay()

        def answered(replies: list[object] | None) -> None:
            if replies is not None:
                transaction.lost = False
                if any(isinstance(reply, RespError) for reply in replies):
                    give_up(self._client)
            if not self._client.closed:
                on_done()

        self._send(connection, data, count, answered)

    def _send(
        self, connection: Connection, data: bytes, count: int, answered: Callable[[list[object] | None], None]
    ) -> None:
        # Counted, so that no server is fenced in the middle: it would refuse to queue writes.
        self._client.core.gate.admit(count)
        connection.submit(Collector(count, answered), data, count)

    def refuse(self, failure: Failure) -> None:
        """Answer the commands that waited for a connection which can't be had."""
        refuse(self._client, failure)


def _nothing() -> None:
    """The transaction that was queued behind is waited for."""
