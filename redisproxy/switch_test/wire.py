"""A client's connection on asyncio: sends commands, and takes exactly as many replies as are due."""

from __future__ import annotations

import asyncio
from typing import cast

from redisproxy.resp import ReplyScanner, RespError, encode_command, parse_replies

Word = bytes | str | int


class Broken(Exception):
    """What a client must never see: an error, a lost connection, a reply that nobody waits for."""


class Connection(asyncio.Protocol):
    """One connection; one caller at a time waits for its replies."""

    def __init__(self) -> None:
        self._scanner = ReplyScanner()
        self._parts: list[bytes] = []
        self._due = 0
        self._waiting: asyncio.Future[list[object]] | None = None
        self._transport: asyncio.Transport | None = None
        self.problem = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(f"disconnected{f': {exc}' if exc else ''}")

    def _break(self, problem: str) -> None:
        self.problem = self.problem or problem
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Broken(self.problem))

    def data_received(self, data: bytes) -> None:
        end, done = self._scanner.scan(data, 0, self._due)
        self._parts.append(data[:end])
        self._due -= done
        if end < len(data):
            self._break(f"a reply that nobody asked for: {data[end : end + 80]!r}")
        elif not self._due and done and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(parse_replies(b"".join(self._parts)))

    async def ask(self, *commands: tuple[Word, ...]) -> list[object]:
        """Send all at once and wait for as many replies.

        @raise Broken: the connection ended, or one of the replies is an error.
        """
        if self.problem or self._transport is None:
            raise Broken(self.problem)
        self._parts, self._due = [], len(commands)
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(b"".join(encode_command(*each) for each in commands))
        replies = await self._waiting
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, RespError):
                raise Broken(f"{command[0]!s} answered -{reply.text}")
        return replies

    def close(self) -> None:
        """Leave."""
        self.problem = self.problem or "closed by the test itself"
        if self._transport is not None:
            self._transport.close()


async def connect(port: int) -> Connection:
    """A new connection to a loopback port."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection
