"""A client's connection, on asyncio: sends commands, and accepts exactly as many replies as are due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from redisproxy.resp import ReplyScanner, RespError, encode_command, parse_replies

Word = bytes | str | int
Observer = Callable[[float, float, str], None]


class Broken(Exception):
    """A client saw what it must never see.

    @ivar kind: the kind of fault in one word, with which the fault is reported.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Connection(asyncio.Protocol):
    """One connection, with one caller at a time.

    @ivar observe: called with the begin and the end of each wait, in seconds of the monotonic clock, and its command.
    @ivar asked_at: when the replies that are due were asked for; None when none are.
    """

    def __init__(self) -> None:
        self._scanner = ReplyScanner()
        self._parts: list[bytes] = []
        self._due = 0
        self._waiting: asyncio.Future[list[object]] | None = None
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._asked = ""
        self._problem: Broken | None = None
        self.observe: Observer | None = None
        self.asked_at: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._break("disconnected", f"the connection was lost{f' ({exc})' if exc else ''}{self._during()}")

    def _during(self) -> str:
        return "" if self.asked_at is None else f" while it waited for the reply to {self._asked}"

    def _break(self, kind: str, text: str) -> None:
        self._problem = self._problem or Broken(kind, text)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(self._problem)

    def data_received(self, data: bytes) -> None:
        end, done = self._scanner.scan(data, 0, self._due)
        self._parts.append(data[:end])
        self._due -= done
        if end < len(data):
            self._break("stray", f"a reply that nobody asked for: {data[end : end + 80]!r}")
        elif not self._due and done and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(parse_replies(b"".join(self._parts)))

    async def ask(self, *commands: tuple[Word, ...]) -> list[object]:
        """Send all commands at once and wait for their replies.

        @raise Broken: the connection was lost, or a reply is an error.
        """
        if self._problem is not None:
            raise self._problem
        assert self._transport is not None
        self._parts, self._due = [], len(commands)
        self._waiting = self._loop.create_future()
        self._asked = str(commands[-1][0])
        self.asked_at = began = self._loop.time()
        self._transport.write(b"".join(encode_command(*each) for each in commands))
        replies = await self._waiting
        self.asked_at = None
        if self.observe is not None:
            self.observe(began, self._loop.time(), self._asked)
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, RespError):
                raise Broken("error", f"{command[0]!s} answered -{reply.text}")
        return replies

    def give_up(self, limit_s: float) -> None:
        """Fail the caller if it has waited for longer than `limit_s` seconds."""
        if self.asked_at is not None and self._loop.time() - self.asked_at > limit_s:
            self._break("hangs", f"no reply to {self._asked} within {limit_s:g} s")

    def close(self) -> None:
        """Close the connection."""
        self._problem = self._problem or Broken("closed", "closed by the test itself")
        if self._transport is not None:
            self._transport.close()


async def connect(port: int, observe: Observer | None = None) -> Connection:
    """A new connection to a loopback port."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    connection.observe = observe
    return connection
