"""SCAN and its kin: passed on, with cursors that tell which server they are of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.commands.treatment import Treatment
from redisproxy.handlers.forward import forward
from redisproxy.handlers.reply_sinks import Observed
from redisproxy.resp import encode_command
from redisproxy.shared import scan_cursors

if TYPE_CHECKING:
    from redisproxy.client.client import Client


class ScanReply(Observed):
    """The reply of a SCAN: its cursor is marked with the number of the server that it comes from."""

    __slots__ = ("_held", "_number", "_passed")

    def __init__(self, client: Client) -> None:
        super().__init__(client, lambda _: client.route.settle())
        self._number = client.core.cursors.server_number
        self._held = b""
        self._passed = False

    def reply(self, data: bytes, done: int) -> None:
        if not self._passed:
            self._held += data
            self._passed = bool(done) or scan_cursors.head_is_complete(self._held)
            data = self.client.core.cursors.outgoing(self._held, self._number) if self._passed else b""
        self._observe(data, done)
        self.client.deliver(data, done)


def scan(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Handle one of these commands."""
    cursors = client.core.cursors
    sent = cursors.incoming(args)
    if sent is None:
        if not client.route.barrier():
            return False
        client.output.error(scan_cursors.STALE)
        return True
    data = raw if sent is args else encode_command(*sent)
    if cursors.lenient:
        return forward(client, data, 1)
    if not client.acquirer.obtain(pinned=client.session.bound):
        return False
    client.sender.one(ScanReply(client), data)
    return True
