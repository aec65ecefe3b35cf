"""EXEC's reply, into which the proxy puts its own answers: the last station of a transaction."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.python.failure import Failure

from redisproxy.forwarding.twins import ReplyScanner
from redisproxy.handlers import hello, local_commands, pubsub
from redisproxy.handlers.reply_sinks import Observed
from redisproxy.resp import split_command

if TYPE_CHECKING:
    from redisproxy.client.client import Client
    from redisproxy.client.open_transaction import Transaction

_NOT_RUN = (b"-", b"_", b"*-")
_HEADER_BYTES = 32
SSUBSCRIBE_DENIED = "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"


class ExecReply(Observed):
    """Passes EXEC's reply on as it arrives, with an answer of the proxy's in the place of each placeholder's reply.

    The commands take effect in their order, and only when Redis has run the transaction. Nothing is held but the
    reply's first line.
    """

    __slots__ = ("_count", "_header", "_passed", "_places", "_scanner")

    def __init__(self, client: Client, transaction: Transaction, on_done: Callable[[bytes], None]) -> None:
        super().__init__(client, on_done)
        self._count = transaction.count
        self._places = deque(transaction.own)
        self._header = b""
        self._passed = 0
        self._scanner = ReplyScanner()
        self._scanner.counts_pushes = True

    def reply(self, data: bytes, done: int) -> None:
        client = self.client
        client.output.composing = True  # the connection's queue has counted this reply already
        rest = self._merge(data)
        if done and not client.closed:
            hello.set_version(client, client.session.resp_version)  # a HELLO may have failed here and not at the server
        self._observe(data, done)
        client.output.composing = False
        client.deliver(rest, done)

    def _merge(self, data: bytes) -> bytes:
        """Pass on what stands before the last placeholder's reply in `data`; what is left of it."""
        client, start, at = self.client, 0, self._first_element(data)
        while self._places and at < len(data) and not client.closed:
            ahead = self._places[0][0] - self._passed
            if ahead:
                at, done = self._scanner.scan(data, at, ahead)
                self._passed += done
                continue
            client.deliver(data[start:at], 0)
            at, done = self._scanner.scan(data, at, 1)
            start = at
            if done:
                self._passed += 1
                self._answer(self._places.popleft()[1])
        return data[start:]

    def _first_element(self, data: bytes) -> int:
        """Where EXEC's array goes on in `data`; the end when all of it belongs to the first line."""
        if self._header.endswith(b"\n"):
            return 0
        end = data.find(b"\n") + 1
        self._header += data[: min(end or len(data), _HEADER_BYTES)]
        if self._header.startswith(_NOT_RUN):
            self._places.clear()
        elif end and self._header != b"*%d\r\n" % self._count:
            client = self.client
            client.log.error("client {id}: EXEC's reply has not the commands that were queued", id=client.id)
            client.closing.drop("internal_error")
        return end or len(data)

    def _answer(self, raw: bytes) -> None:
        try:
            _answer(self.client, split_command(raw))
        except Exception:
            self.client.closing.crashed(Failure())


def _answer(client: Client, args: list[bytes]) -> None:
    name = args[0].upper()
    if name == b"SSUBSCRIBE":
        client.output.error(SSUBSCRIBE_DENIED)
    elif name in pubsub.IN_CONTEXT:
        client.output.write(pubsub.not_subscribed(client, args))
    elif name == b"HELLO":
        _hello(client, args)
    else:
        local_commands.answer(client, args)


def _hello(client: Client, args: list[bytes]) -> None:
    """The placeholder has changed the connection's RESP version; behind a wrong password that is undone at the end."""
    connection, version = client.route.connection, hello.hello_version(args)
    if connection is not None and version is not None:
        connection.resp_version = version
    local_commands.answer(client, args)
