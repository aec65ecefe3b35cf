"""The load, a process of its own: one JSON object a line on its output, and C{stop PORT} on its input ends it."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections import Counter
from typing import Any

from redisproxy.switch_test.clients import KINDS, QUEUES, Client, Ledger, expect, work
from redisproxy.switch_test.wire import Broken, Connection, connect

TELL_S = 0.2
END_S = 20.0
MAX_FAULTS = 20


class Load:
    """All clients of one run."""

    def __init__(self, options: dict[str, Any], port: int) -> None:
        self._options, self._port = options, port
        self._ledger = Ledger()
        self._clients: list[Client] = []
        self._idle: list[Connection] = []
        self._stopping = False
        self._longest_s = 0.0
        self.faults: list[str] = []

    async def run(self) -> None:
        """Until told to stop."""
        await self._connect()
        guard = self._guard
        busy = [asyncio.create_task(guard(f"client {each.number}", self._busy(each))) for each in self._clients]
        numbers = range(self._options["blocked"])
        workers = [
            asyncio.create_task(guard(f"worker {each}", work(self._port, each, self._ledger))) for each in numbers
        ]
        server_port = await self._until_told()
        self._stopping = True
        await self._end_of(busy)
        await self._end_of_jobs()
        for worker in workers:
            worker.cancel()
        await self._check(server_port)
        self._tell(final=True)

    async def _connect(self) -> None:
        options = self._options
        for number in range(options["busy"]):
            kind = KINDS[number % len(KINDS)]
            wire = await connect(self._port)
            self._clients.append(kind(number, wire, self._ledger, options["seed"], options["value_bytes"]))
        for _ in range(options["idle"]):
            self._idle.append(await connect(self._port))
            await self._idle[-1].ask(("PING",))

    async def _guard(self, name: str, doing: Any) -> None:
        try:
            await doing
        except (Broken, OSError) as error:
            self.faults.append(f"{name}: {error}")

    async def _busy(self, client: Client) -> None:
        pause_s = 2 * self._options["busy"] / self._options["rate"]
        while not self._stopping:
            await asyncio.sleep(client.random.random() * pause_s)
            began = time.monotonic()
            await client.turn()
            self._longest_s = max(self._longest_s, time.monotonic() - began)

    async def _until_told(self) -> int:
        loop = asyncio.get_running_loop()
        told = loop.run_in_executor(None, sys.stdin.readline)
        while not told.done():
            self._tell()
            await asyncio.wait([told], timeout=TELL_S)
        line = (await told).split()
        if len(line) != 2:
            sys.exit(1)  # whoever started this has gone
        return int(line[1])

    async def _end_of(self, busy: list[asyncio.Task[None]]) -> None:
        if not busy:
            return
        _, waiting = await asyncio.wait(busy, timeout=END_S)
        if waiting:
            self.faults.append(f"{len(waiting)} clients still wait for a reply after {END_S:.0f} s")
        for task in waiting:
            task.cancel()

    async def _end_of_jobs(self) -> None:
        deadline = time.monotonic() + (2.0 if self._options["blocked"] else 0.0)
        while self._ledger.open_jobs() and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    async def _check(self, port: int) -> None:
        server = await connect(port)
        for client in self._clients:
            await self._guard(client.key, client.check(server))
        for number, wanted in self._ledger.registers.items():
            (value,) = await server.ask(("GET", f"register:{number}"))
            await self._guard("WATCH", _same(value, b"%d" % wanted, f"register:{number} at the end"))
        left: Counter[bytes] = Counter()
        for queue in range(QUEUES):
            (jobs,) = await server.ask(("LRANGE", f"jobs:{queue}", 0, -1))
            left.update(jobs if isinstance(jobs, list) else [])
        self.faults.extend(self._ledger.faults(left))
        for each in self._idle:
            await self._guard("an idle client", each.ask(("PING",)))

    def _tell(self, final: bool = False) -> None:
        state = {
            "final": final,
            "done": sum(client.done for client in self._clients),
            "delivered": sum(self._ledger.delivered.values()),
            "conflicts": self._ledger.conflicts,
            "longest_ms": round(self._longest_s * 1000, 1),
            "faults": self.faults[:MAX_FAULTS],
            "fault_count": len(self.faults),
        }
        print(json.dumps(state), flush=True)


async def _same(value: object, wanted: object, what: str) -> None:
    expect(value, wanted, f"lost or doubled writes: {what}")


def main() -> None:
    """Arguments: the options as JSON, and the proxy's port."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(Load(json.loads(sys.argv[1]), int(sys.argv[2])).run())


if __name__ == "__main__":
    main()
