"""The relay, a process of its own: passes commands and replies on, and asks its fault what to do with each of them."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from typing import cast

from redisproxy.resp import ReplyScanner, parse_reply
from tests.end_to_end.faulty.faults import FAULTS, Fault, Link, Slot


class Splitter:
    """Whole commands or replies from bytes as they come; both have the same form."""

    def __init__(self) -> None:
        self._scanner = ReplyScanner()
        self._held = b""

    def feed(self, data: bytes) -> list[bytes]:
        whole, at = [], 0
        while at < len(data):
            end, done = self._scanner.scan(data, at, 1)
            self._held += data[at:end]
            at = end
            if done:
                whole.append(self._held)
                self._held = b""
        return whole


class Side(asyncio.Protocol):
    """One of the two connections of a link."""

    def __init__(self, arrived: Callable[[list[bytes]], None], ended: Callable[[], None]) -> None:
        self._splitter = Splitter()
        self._arrived, self._ended = arrived, ended

    def data_received(self, data: bytes) -> None:
        self._arrived(self._splitter.feed(data))

    def connection_lost(self, error: Exception | None) -> None:
        self._ended()


class Relayed(Link):
    """One client with its connection to the proxy."""

    def __init__(self, fault: Fault, proxy_port: int) -> None:
        self.side = Side(self._commands, self.close)
        self._fault, self._proxy_port = fault, proxy_port
        self._client: asyncio.Transport | None = None
        self._proxy: asyncio.Transport | None = None
        self._before: list[bytes] = []
        self._waiting: deque[Slot] = deque()
        self._unanswered: deque[Slot] = deque()
        self._opening = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        side = Side(self._replies, self.close)
        self._proxy, _ = await loop.create_connection(lambda: side, "127.0.0.1", self._proxy_port)
        before, self._before = self._before, []
        self._commands(before)

    def made(self, transport: asyncio.BaseTransport) -> None:
        self._client = cast(asyncio.Transport, transport)

    def _commands(self, commands: list[bytes]) -> None:
        if self._proxy is None:
            self._before += commands
            return
        for raw in self._fault.order(commands):
            args = [bytes(each) for each in cast(list[bytes], parse_reply(raw))]
            self._fault.command(self, args, raw)

    def forward(self, raw: bytes, slot: Slot | None = None) -> None:
        slot = slot or Slot()
        self._waiting.append(slot)
        if slot.sent:
            self._unanswered.append(slot)
            assert self._proxy is not None
            self._proxy.write(raw)
        self.flush()

    def _replies(self, replies: list[bytes]) -> None:
        for raw in replies:
            self._unanswered.popleft().answer(self, raw)
        self.flush()

    def flush(self) -> None:
        while self._waiting and (out := self._waiting[0].out) is not None:
            self._waiting.popleft()
            if out and self._client is not None:
                self._client.write(out)

    def close(self) -> None:
        for transport in (self._client, self._proxy):
            if transport is not None:
                transport.close()


class Front(asyncio.Protocol):
    """What the clients connect to."""

    def __init__(self, fault: Fault, proxy_port: int) -> None:
        self._link = Relayed(fault, proxy_port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._link.made(transport)

    def data_received(self, data: bytes) -> None:
        self._link.side.data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._link.close()


async def main(fault: Fault, port: int, proxy_port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Front(fault, proxy_port), "127.0.0.1", port, backlog=500)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(FAULTS[sys.argv[1]](), int(sys.argv[2]), int(sys.argv[3])))
