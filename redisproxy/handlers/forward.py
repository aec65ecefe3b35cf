"""Plain commands: sent as they are, or queued at Redis while a MULTI is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.client.queued_replies import QUEUED

if TYPE_CHECKING:
    from redisproxy.client.client import Client


def forward(client: Client, data: bytes, count: int) -> bool:
    """Send `count` plain commands. False when that has to wait."""
    session = client.session
    if session.transaction is not None:
        return queue(client, data, count)
    bound = session.bound
    if (bound or not client.route.at_hand) and not client.acquirer.obtain(pinned=bound):
        return False
    client.sender.plain(data, count)
    return True


def queue(client: Client, data: bytes, count: int) -> bool:
    """Queue `count` commands at Redis and remember them."""
    transaction = client.session.transaction
    assert transaction is not None
    if transaction.dead:
        return pretend(client, count)
    if not client.acquirer.obtain(pinned=True):
        return False
    transaction.remember(data, count)
    client.sender.queued(transaction, data, count)
    return True


def pretend(client: Client, count: int) -> bool:
    """Answer that `count` commands are queued; EXEC fails anyway."""
    if not client.route.barrier():
        return False
    client.output.answer(QUEUED * count)
    return True
