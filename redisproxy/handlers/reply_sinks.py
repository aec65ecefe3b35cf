"""Sinks for replies that the session learns from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redisproxy.client.client import Client

HEAD_BYTES = 512


class Observed:
    """Passes one reply on to the client and tells how it begins.

    @param on_done: called with up to 512 bytes of the reply's beginning when it is complete, before its last piece goes
        to the client, so that the session knows its state when the client's next command is taken.
    """

    __slots__ = ("_head", "_on_done", "client")

    def __init__(self, client: Client, on_done: Callable[[bytes], None]) -> None:
        self.client = client
        self._on_done = on_done
        self._head = b""

    def reply(self, data: bytes, done: int) -> None:
        output = self.client.output
        output.composing = True
        self._observe(data, done)
        output.composing = False
        self.client.deliver(data, done)

    def _observe(self, data: bytes, done: int) -> None:
        if len(self._head) < HEAD_BYTES:
            self._head = (self._head + data)[:HEAD_BYTES]
        if done:
            client = self.client
            client.lane.pending -= done
            if not client.output.closed:
                self._on_done(self._head)

    def lost(self) -> None:
        self.client.lost()


class Swallowed(Observed):
    """Like L{Observed}, but the client does not get the reply: `on_done` answers in its place."""

    __slots__ = ()

    def reply(self, data: bytes, done: int) -> None:
        self._observe(data, done)
        self.client.deliver(b"", done)
