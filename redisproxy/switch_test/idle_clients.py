"""The idle clients: connected, each with its name and database, and used only rarely."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from redisproxy.switch_test.connection import Broken, Connection, connect
from redisproxy.switch_test.ledger import expect

DATABASES = 15
"""The last of a Redis server's sixteen holds the data set."""
AT_ONCE = 100
ROUND_S = 60.0
"""How long it takes, about, until each client has been asked once."""
Fault = Callable[[str, Broken], None]


class IdleClients:
    """All idle clients of a run.

    @param fault: called once for each client that sees what it should not.
    """

    def __init__(self, count: int, port: int, seed: int, fault: Fault) -> None:
        self._count, self._port = count, port
        self._random = random.Random(f"{seed}:idle")
        self._fault = fault
        self._wires: dict[int, Connection] = {}
        self._looking = asyncio.Lock()
        self.checked = 0

    @property
    def wires(self) -> list[Connection]:
        """The connections of all clients."""
        return list(self._wires.values())

    async def connect(self) -> None:
        """Connect all clients; each sets its name and its database.

        @raise Broken: one of them could not.
        """
        await self._in_groups(list(range(self._count)), self._connect)

    async def _connect(self, number: int) -> None:
        wire = self._wires[number] = await connect(self._port)
        db = number % DATABASES
        await wire.ask(("SELECT", db), ("CLIENT", "SETNAME", f"idle-{number}"), ("SET", "idle-in", db))

    async def look_rarely(self) -> None:
        """Ask one client after the other, in an order that the seed decides, for ever."""
        pause_s = 2 * ROUND_S / self._count
        while True:
            for number in self._random.sample(range(self._count), self._count):
                await asyncio.sleep(self._random.random() * pause_s)
                async with self._looking:
                    await self._check(number)

    async def check(self) -> None:
        """Ask every client once more; afterwards C{look_rarely} can be cancelled."""
        await self._looking.acquire()
        await self._in_groups(list(self._wires), self._check)

    async def _check(self, number: int) -> None:
        """Check that a client is still connected, has its name, and is in its database."""
        if number not in self._wires:
            return
        try:
            name, db = await self._wires[number].ask(("CLIENT", "GETNAME"), ("GET", "idle-in"))
            expect(name, b"idle-%d" % number, "CLIENT GETNAME")
            expect(db, b"%d" % (number % DATABASES), "the database that it is in")
            self.checked += 1
        except Broken as error:
            self._wires.pop(number, None)
            self._fault(f"idle client {number}", error)

    async def _in_groups(self, numbers: list[int], work: Callable[[int], Awaitable[None]]) -> None:
        for at in range(0, len(numbers), AT_ONCE):
            await asyncio.gather(*[work(number) for number in numbers[at : at + AT_ONCE]])
