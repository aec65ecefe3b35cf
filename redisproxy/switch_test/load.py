"""The load, a process with all clients: prints a JSON object a line, and ends when it reads C{stop PORT}."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Coroutine
from typing import Any

from redisproxy.dataplane import garbage_collection
from redisproxy.switch_test.blocked_clients import LAST, BlockedClient
from redisproxy.switch_test.busy_clients import KINDS, QUEUES, Client
from redisproxy.switch_test.connection import Broken, Connection, connect
from redisproxy.switch_test.idle_clients import IdleClients
from redisproxy.switch_test.latency import Latency
from redisproxy.switch_test.ledger import Ledger, expect_count
from redisproxy.switch_test.options import Options

TELL_S = 0.2
MAX_FAULTS = 20


class Load:
    """All clients of one run."""

    def __init__(self, options: Options, port: int) -> None:
        self._options, self._port = options, port
        self._ledger = Ledger()
        self._waits = Latency()
        self._clients: list[Client] = []
        self._workers: list[BlockedClient] = []
        self._idle = IdleClients(options.idle, port, options.seed, self._fault)
        self._others: list[Connection] = []
        self._stopping = False
        self.faults: list[str] = []

    async def run(self) -> None:
        """Run until told to stop, then compare everything with the server."""
        beside = [asyncio.create_task(self._waits.watch_loop()), asyncio.create_task(self._look_for_hanging())]
        await self._guard("at the start", self._connect())
        working = [asyncio.create_task(self._guard(each.name, each.work())) for each in self._workers]
        await self._guard("at the start", self._until_blocked())
        garbage_collection.leave_out_what_there_is()
        busy = [
            asyncio.create_task(self._guard(f"{each.kind} {each.number}", self._busy(each))) for each in self._clients
        ]
        if self._options.idle:
            beside.append(asyncio.create_task(self._idle.look_rarely()))
        server_port = await self._until_told()
        self._stopping = True
        await asyncio.gather(*busy)
        await self._idle.check()
        await self._guard("at the end", self._end_workers(working))
        await self._guard("at the end", self._check(server_port))
        for task in beside:
            task.cancel()
        self._tell(final=True)

    async def _connect(self) -> None:
        options = self._options
        for number in range(options.busy):
            kind = KINDS[number % len(KINDS)]
            wire = await connect(self._port, self._waits.observer(kind.__name__.lower()))
            client = kind(number, wire, self._ledger, options.seed, options.value_bytes)
            await client.begin()
            self._clients.append(client)
        for number in range(options.blocked):
            self._workers.append(BlockedClient(number, await connect(self._port), self._ledger))
        await self._idle.connect()

    async def _until_blocked(self) -> None:
        """Wait until every blocked client waits at the server, so that the start is not measured."""
        wire = await self._other(self._port)
        deadline = time.monotonic() + self._options.reply_limit_s
        blocked = b"blocked_clients:%d\r\n" % len(self._workers)
        while time.monotonic() < deadline:
            (text,) = await wire.ask(("INFO", "clients"))
            if isinstance(text, bytes) and blocked in text:
                break
            await asyncio.sleep(0.02)

    def _fault(self, name: str, error: Exception) -> None:
        kind = error.kind if isinstance(error, Broken) else "disconnected"
        self.faults.append(f"{kind}: {name}: {error}")

    async def _guard(self, name: str, doing: Coroutine[Any, Any, None]) -> None:
        try:
            await doing
        except (Broken, OSError) as error:
            self._fault(name, error)

    async def _busy(self, client: Client) -> None:
        usual_s = self._options.busy / self._options.rate
        client.sound = False
        while not self._stopping:
            await asyncio.sleep(client.think_s(usual_s))
            await client.turn()
        client.sound = True

    async def _look_for_hanging(self) -> None:
        """Fail every client that waits for too long; blocked clients may wait."""
        while True:
            await asyncio.sleep(TELL_S)
            for wire in [*[client.wire for client in self._clients], *self._idle.wires, *self._others]:
                wire.give_up(self._options.reply_limit_s)

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

    async def _end_workers(self, working: list[asyncio.Task[None]]) -> None:
        """Give each blocked client a last job; one that does not take it hangs."""
        wire = await self._other(self._port)
        for number, worker in enumerate(self._workers):
            await wire.ask(("RPUSH", worker.queue, b"%b%d" % (LAST, number)))
        if working:
            await asyncio.wait(working, timeout=self._options.reply_limit_s)
        for worker, task in zip(self._workers, working, strict=True):
            if not task.done():
                task.cancel()
                limit_s = self._options.reply_limit_s
                self._fault(worker.name, Broken("hangs", f"BLPOP got none of the jobs there were within {limit_s:g} s"))

    async def _other(self, port: int) -> Connection:
        self._others.append(await connect(port))
        return self._others[-1]

    async def _check(self, port: int) -> None:
        server = await self._other(port)
        for client in (each for each in self._clients if each.sound):
            await self._guard(client.key, client.check(server))
        for number, versions in sorted(self._ledger.registers.items()):
            (value,) = await server.ask(("GET", f"register:{number}"))
            written = int(value) if isinstance(value, bytes) else value
            await self._guard("WATCH", _same(written, max(versions), f"register:{number} at the end"))
        await self._check_jobs(server)

    async def _check_jobs(self, server: Connection) -> None:
        left: list[bytes] = []
        for queue in range(QUEUES):
            (jobs,) = await server.ask(("LRANGE", f"jobs:{queue}", 0, -1))
            left.extend(job for job in (jobs if isinstance(jobs, list) else []) if not job.startswith(LAST))
        self.faults.extend(self._ledger.faults(left))

    def _tell(self, final: bool = False) -> None:
        state = {
            "final": final,
            "done": sum(client.done for client in self._clients),
            "delivered": sum(self._ledger.delivered.values()),
            "conflicts": self._ledger.conflicts,
            "idle_checked": self._idle.checked,
            "waits": self._waits.told(),
            "faults": self.faults[:MAX_FAULTS],
            "fault_count": len(self.faults),
        }
        print(json.dumps(state), flush=True)


async def _same(value: object, wanted: int, what: str) -> None:
    expect_count(value, wanted, what)


def main() -> None:
    """Arguments: the options as JSON, and the proxy's port."""
    asyncio.run(Load(Options(**json.loads(sys.argv[1])), int(sys.argv[2])).run())


if __name__ == "__main__":
    main()
