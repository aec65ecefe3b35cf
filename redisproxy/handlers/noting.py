"""Says what a command changes without the server telling of it, while that is noted for a copy of its keyspace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.commands.changed_keys import EVERYTHING
from redisproxy.commands.treatment import Rule, Treatment
from redisproxy.forwarding.twins import RequestFramer
from redisproxy.resp import COMMAND, split_command

if TYPE_CHECKING:
    from redisproxy.client.client import Client
    from redisproxy.client.noted_reply import Changes
    from redisproxy.client.open_transaction import Transaction

_SELECT = b"SELECT"
MAX_CHANGES = 10000
"""In one transaction."""


def changes_of(client: Client, args: list[bytes], whole: bool = True) -> Changes:
    """What this command changes in the client's database. @param whole: see L{SilentChanges.of}."""
    change = client.core.table.silent.of(args, whole)
    return () if change is None else ((client.session.db, change),)


def to_note(client: Client, args: list[bytes], treatment: Treatment, whole: bool = True) -> Changes:
    """What is to be noted with the reply to this command, which is sent next. Blocking ones note by themselves."""
    transaction = client.session.transaction
    if transaction is None:
        return () if treatment.rule is Rule.BLOCKING else changes_of(client, args, whole)
    if treatment.rule is Rule.EXEC:
        return tuple(transaction.changes)
    _queued(client, transaction, args, whole)
    return ()


def _queued(client: Client, transaction: Transaction, args: list[bytes], whole: bool = True) -> None:
    """EXEC will run this. Whether a SELECT in it succeeds nobody knows, so keys count in every database named."""
    databases, changes = transaction.databases, transaction.changes
    if not databases:
        databases.add(client.session.db)
    if args[0].upper() == _SELECT and len(args) == 2 and args[1].isdigit():
        databases.add(int(args[1]))
    change = client.core.table.silent.of(args, whole)
    if change is not None:
        changes.update((db, change) for db in databases)
    if len(changes) > MAX_CHANGES or len(databases) > MAX_CHANGES:
        _anything(transaction)


def _anything(transaction: Transaction) -> None:
    transaction.databases.clear()
    transaction.changes.clear()
    transaction.changes.add((0, EVERYTHING))


def begin(client: Client) -> None:
    """Noting begins: look at what has arrived of this client, and at what was queued before in an open transaction."""
    client.received.frame_again()
    if client.session.transaction is not None:
        _look_back(client, client.session.transaction)


def _look_back(client: Client, transaction: Transaction) -> None:
    transaction.databases.clear()
    transaction.changes.clear()
    if not transaction.replayable:
        _anything(transaction)
        return
    data, _ = transaction.replay()
    framer = RequestFramer(client.core.table.silent.names | {_SELECT}, max_held_bytes=len(data))
    framer.feed(data)
    for kind, raw, _ in iter(framer.next, None):
        if kind == COMMAND:
            _queued(client, transaction, split_command(raw))
