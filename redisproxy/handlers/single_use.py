"""Commands after which nobody else may have the connection: it is closed once they are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.client.waiting import Reason
from redisproxy.commands.treatment import Treatment
from redisproxy.handlers.reply_sinks import Observed, Swallowed

if TYPE_CHECKING:
    from redisproxy.client.client import Client


def apart(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    if not client.acquirer.obtain(pinned=True):
        return False
    client.sender.one(Observed(client, lambda _: client.route.leave()), raw)
    client.waiting.block(Reason.REPLIES)
    return True


def cluster_state(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """ASKING, READONLY, READWRITE: a server without cluster support answers with an error, and nothing has changed.

    Where it has changed something, the connection is closed, and the client is told that this is not supported.
    """
    if not client.acquirer.obtain(pinned=True):
        return False

    def done(head: bytes) -> None:
        if head.startswith(b"-") and head.endswith(b"\n"):
            client.output.answer(head)
            client.route.settle()
            return
        client.route.leave()
        client.refuse(args, treatment.error)

    client.sender.one(Swallowed(client, done), raw)
    client.waiting.block(Reason.REPLIES)
    return True
