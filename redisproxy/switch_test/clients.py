"""The kinds of clients: each knows what every reply has to be, and at the end what has to be on the server."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

from redisproxy.switch_test.wire import Broken, Connection, connect

PIPELINE = 8
LIST_LENGTH = 100
QUEUES = 10
REGISTERS = 5


def expect(got: object, wanted: object, what: str) -> None:
    """Compare.

    @raise Broken: they differ.
    """
    if got != wanted:
        raise Broken(f"{what}: expected {wanted!r}, got {got!r}")


class Ledger:
    """What has been acknowledged, of all clients together."""

    def __init__(self) -> None:
        self.pushed: set[bytes] = set()
        self.unsure: set[bytes] = set()
        self.delivered: Counter[bytes] = Counter()
        self.registers: Counter[int] = Counter()
        self.conflicts = 0

    def open_jobs(self) -> bool:
        """Whether a job was pushed and not delivered."""
        return not self.pushed <= self.delivered.keys()

    def faults(self, left: Counter[bytes]) -> Iterator[str]:
        """What is wrong, with `left` being what is still in the queues."""
        seen = self.delivered + left
        for job in sorted(self.pushed - seen.keys()):
            yield f"lost: RPUSH of {job.decode()} was acknowledged, and no worker ever got it"
        for job, times in sorted(seen.items()):
            if times > 1:
                yield f"doubled: {job.decode()} was delivered {times} times"
            if job not in self.pushed and job not in self.unsure:
                yield f"unknown: {job.decode()} was delivered, and nobody pushed it"


class Client:
    """One busy client; `turn` is one round of its work."""

    def __init__(self, number: int, wire: Connection, ledger: Ledger, seed: int, value_bytes: int) -> None:
        self.number, self.wire, self.ledger = number, wire, ledger
        self.random = random.Random(f"{seed}:{number}")
        self.padding = b"." * value_bytes
        self.key = f"{type(self).__name__.lower()}:{number}"
        self.done = 0

    def unique(self) -> bytes:
        """A value that no other write has."""
        return b"%d/%d%b" % (self.number, self.done, self.padding)

    async def turn(self) -> None:
        """Do one thing and check the replies."""
        raise NotImplementedError

    async def check(self, server: Connection) -> None:
        """Compare what is on the server, asked directly, with what was acknowledged."""

    async def counted(self, server: Connection, key: str) -> None:
        """Compare a counter with the acknowledged increments."""
        (value,) = await server.ask(("GET", key))
        expect(value, b"%d" % self.done if self.done else None, f"lost or doubled writes: {key} at the end")


class Counts(Client):
    """INCR."""

    async def turn(self) -> None:
        (value,) = await self.wire.ask(("INCR", self.key))
        self.done += 1
        expect(value, self.done, f"INCR {self.key}")

    async def check(self, server: Connection) -> None:
        await self.counted(server, self.key)


class Lists(Client):
    """RPUSH of unique values; the whole list is looked at, and emptied, from time to time."""

    def __init__(self, number: int, wire: Connection, ledger: Ledger, seed: int, value_bytes: int) -> None:
        super().__init__(number, wire, ledger, seed, value_bytes)
        self.values: list[bytes] = []

    async def turn(self) -> None:
        value = self.unique()
        (length,) = await self.wire.ask(("RPUSH", self.key, value))
        self.done += 1
        self.values.append(value)
        expect(length, len(self.values), f"RPUSH {self.key}")
        if len(self.values) >= LIST_LENGTH:
            await self.check(self.wire)
            await self.wire.ask(("DEL", self.key))
            self.values = []

    async def check(self, server: Connection) -> None:
        (values,) = await server.ask(("LRANGE", self.key, 0, -1))
        expect(values, self.values, f"LRANGE {self.key}")


class Transacts(Client):
    """MULTI and EXEC, in one piece or with a pause of the client's own in between."""

    async def turn(self) -> None:
        begin, body = [("MULTI",), ("INCR", self.key)], [("INCR", f"{self.key}:too"), ("EXEC",)]
        if self.random.random() < 0.5:
            replies = await self.wire.ask(*begin, *body)
        else:
            replies = [*await self.wire.ask(*begin), *await self.wire.ask(*body)]
        self.done += 1
        expect(replies, [b"OK", b"QUEUED", b"QUEUED", [self.done, self.done]], f"MULTI {self.key}")

    async def check(self, server: Connection) -> None:
        await self.counted(server, self.key)
        await self.counted(server, f"{self.key}:too")


class Watches(Client):
    """WATCH, GET, MULTI, SET, EXEC on a register that others write, too; losing is fine, a wrong sum is not."""

    async def turn(self) -> None:
        register = self.number % REGISTERS
        key = f"register:{register}"
        _, value = await self.wire.ask(("WATCH", key), ("GET", key))
        wanted = int(value) + 1 if isinstance(value, bytes) else 1
        *_, result = await self.wire.ask(("MULTI",), ("SET", key, wanted), ("EXEC",))
        if result is None:
            self.ledger.conflicts += 1
            return
        expect(result, [b"OK"], f"EXEC on {key}")
        self.ledger.registers[register] += 1
        self.done += 1


class Pipelines(Client):
    """INCR and ECHO in turns, many at once: the order of replies shows."""

    async def turn(self) -> None:
        first, value = self.done, self.unique()
        pairs = [(("INCR", self.key), ("ECHO", b"%d:%b" % (first + step, value))) for step in range(PIPELINE)]
        replies = await self.wire.ask(*[command for pair in pairs for command in pair])
        self.done += PIPELINE
        wanted = [(first + step + 1, b"%d:%b" % (first + step, value)) for step in range(PIPELINE)]
        expect(replies, [reply for pair in wanted for reply in pair], f"pipeline {self.key}")

    async def check(self, server: Connection) -> None:
        await self.counted(server, self.key)


class Pushes(Client):
    """RPUSH of jobs that blocked workers wait for."""

    async def turn(self) -> None:
        job = self.unique()
        self.ledger.unsure.add(job)
        await self.wire.ask(("RPUSH", f"jobs:{self.random.randrange(QUEUES)}", job))
        self.ledger.unsure.discard(job)
        self.ledger.pushed.add(job)
        self.done += 1


KINDS: tuple[type[Client], ...] = (Pushes, Counts, Lists, Transacts, Watches, Pipelines)


async def work(port: int, number: int, ledger: Ledger) -> None:
    """A worker: BLPOP for ever, without a timeout."""
    wire = await connect(port)
    queue = b"jobs:%d" % (number % QUEUES)
    while True:
        (reply,) = await wire.ask(("BLPOP", queue, 0))
        if not isinstance(reply, list) or len(reply) != 2 or reply[0] != queue:
            raise Broken(f"BLPOP {queue!r} answered {reply!r}")
        ledger.delivered[reply[1]] += 1
