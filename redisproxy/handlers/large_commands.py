"""Commands that are too large to hold: each piece goes its way as it arrives, past everything that holds commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.commands.treatment import Rule, Treatment
from redisproxy.handlers import noting, placeholders
from redisproxy.handlers.blocking import Blocking
from redisproxy.handlers.forward import pretend
from redisproxy.handlers.reply_sinks import Observed

if TYPE_CHECKING:
    from redisproxy.client.client import Client

AS_THEY_ARE = frozenset({Rule.FORWARD, Rule.BLOCKING, Rule.SCRIPT, Rule.EVAL, Rule.SCAN, Rule.PUBLISH})
"""Commands that may reach the server as they arrive: too large to hold, or for the server to refuse."""
TOO_LARGE = "ERR the command is too large for the proxy to handle (limits.max_held_request_bytes)"


def begin(client: Client, data: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Handle the beginning of one."""
    if client.session.transaction is not None:
        return _within_transaction(client, data, args, treatment)
    if treatment.rule in AS_THEY_ARE:
        if not client.acquirer.obtain(pinned=True):
            return False
        _send(client, data, args, timed=treatment.rule is not Rule.BLOCKING)
        return True
    if not client.route.barrier():
        return False
    client.refuse(args, treatment.error or TOO_LARGE)
    return client.received.upload.discard()


def _within_transaction(client: Client, data: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Queue one, which is too large to be remembered."""
    transaction, upload = client.session.transaction, client.received.upload
    assert transaction is not None
    if treatment.rule not in AS_THEY_ARE:
        error = treatment.error or "ERR the command is too large"
        return placeholders.refuse(client, args, error) and upload.discard()
    if transaction.dead:
        return pretend(client, 1) and upload.discard()
    if not client.acquirer.obtain(pinned=True):
        return False
    transaction.remember(b"", 1)
    transaction.forget()
    _send(client, data, args, timed=True)
    return True


def _send(client: Client, data: bytes, args: list[bytes], timed: bool) -> None:
    """Send its beginning on the connection that there is."""
    # Its time starts when all of it has been sent: how fast a client sends is not the server's doing.
    sink = Observed(client, lambda _: client.route.settle()) if timed else _blocking(client, args)
    client.received.upload.begun(client.sender.one(sink, data, timed=False), timed)
    if isinstance(sink, Blocking):
        client.waiting.blocking = sink


def _blocking(client: Client, args: list[bytes]) -> Blocking:
    return Blocking(client, None, noting.changes_of(client, args, whole=False))


def go_on(client: Client, data: bytes, end: bool) -> bool:
    """Take its next piece. False when that has to wait, or the client was dropped."""
    upload, connection = client.received.upload, client.route.connection
    if upload.discarding:
        upload.discarding = not end
        return True
    if connection is None or not connection.alive:
        client.closing.drop("uplink_lost")
        return False
    if not connection.ready:
        client.acquirer.wait_writable(connection)
        return False
    connection.queue.send(data)
    if end and upload.sending:
        upload.sent()
        client.route.settle()
    return True
