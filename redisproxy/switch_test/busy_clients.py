"""The kinds of busy clients: each knows which reply must come next, and at the end what must be on the server.

Each client decides by its own random numbers, which depend neither on replies nor on time: the same seed gives the
same commands, sizes and think times in the same order.
"""

from __future__ import annotations

import random
from collections import Counter

from redisproxy.switch_test.connection import Broken, Connection
from redisproxy.switch_test.ledger import Ledger, expect, expect_count, expect_elements

PIPELINE = 8
LIST_LENGTH = 100
QUEUES = 10
REGISTERS = 5
OWN = 1_000_000_000
"""Each client's counters begin at its own multiple of this, so that another client's reply is recognised."""


class Client:
    """One busy client; `turn` is one round of its work.

    @ivar done: acknowledged rounds, or commands.
    @ivar sound: every round was acknowledged; otherwise it is unknown whether the last command was carried out.
    """

    def __init__(self, number: int, wire: Connection, ledger: Ledger, seed: int, value_bytes: int) -> None:
        self.number, self.wire, self.ledger = number, wire, ledger
        self.random = random.Random(f"{seed}:{number}")
        self.kind = type(self).__name__.lower()
        self.key = f"{self.kind}:{number}"
        self.base = number * OWN
        self.done = 0
        self.sound = True
        self._value_bytes = value_bytes

    def think_s(self, usual_s: float) -> float:
        """How long the client waits before its next round."""
        return self.random.uniform(0, 2 * usual_s)

    def unique(self) -> bytes:
        """A value that occurs in no other write, of up to twice the usual size."""
        padding = b"." * self.random.randint(0, 2 * self._value_bytes)
        return b"%d/%d%b" % (self.number, self.done, padding)

    async def begin(self) -> None:
        """Prepare the first turn."""

    async def turn(self) -> None:
        """Do one round and check its replies."""
        raise NotImplementedError

    async def check(self, server: Connection) -> None:
        """Compare the data on the server, which is asked directly, with the acknowledged writes."""

    def expect_own(self, got: object, wanted: int, what: str) -> None:
        """Compare the reply to an increment.

        @raise Broken: this is another client's reply, or writes were lost or doubled.
        """
        if isinstance(got, int) and got // OWN != self.number:
            raise Broken("mixed up", f"{what}: got {got}, the reply to client {got // OWN}")
        expect_count(got, self.base + wanted, what)

    async def counted(self, server: Connection, key: str) -> None:
        """Compare a counter on the server with the acknowledged increments."""
        (value,) = await server.ask(("GET", key))
        got = int(value) if isinstance(value, bytes) and value.isdigit() else value
        expect_count(got, self.base + self.done, f"{key} at the end")


class Counts(Client):
    """INCR."""

    async def begin(self) -> None:
        await self.wire.ask(("SET", self.key, self.base))

    async def turn(self) -> None:
        (value,) = await self.wire.ask(("INCR", self.key))
        self.done += 1
        self.expect_own(value, self.done, f"INCR {self.key}")

    async def check(self, server: Connection) -> None:
        await self.counted(server, self.key)


class Lists(Client):
    """RPUSH of unique values; from time to time the whole list is compared and emptied."""

    def __init__(self, number: int, wire: Connection, ledger: Ledger, seed: int, value_bytes: int) -> None:
        super().__init__(number, wire, ledger, seed, value_bytes)
        self.values: list[bytes] = []

    async def turn(self) -> None:
        value = self.unique()
        (length,) = await self.wire.ask(("RPUSH", self.key, value))
        self.done += 1
        self.values.append(value)
        expect_count(length, len(self.values), f"RPUSH {self.key}")
        if len(self.values) >= LIST_LENGTH:
            await self.check(self.wire)
            await self.wire.ask(("DEL", self.key))
            self.values = []

    async def check(self, server: Connection) -> None:
        (values,) = await server.ask(("LRANGE", self.key, 0, -1))
        expect_elements(values, self.values, f"list {self.key}")


class Transacts(Client):
    """MULTI and EXEC, sent at once or in two parts."""

    async def begin(self) -> None:
        await self.wire.ask(("MSET", self.key, self.base, f"{self.key}:too", self.base))

    async def turn(self) -> None:
        begin, body = [("MULTI",), ("INCR", self.key)], [("INCR", f"{self.key}:too"), ("EXEC",)]
        if self.random.random() < 0.5:
            replies = await self.wire.ask(*begin, *body)
        else:
            replies = [*await self.wire.ask(*begin), *await self.wire.ask(*body)]
        self.done += 1
        what = f"MULTI {self.key}"
        expect(replies[:-1], [b"OK", b"QUEUED", b"QUEUED"], what)
        both = replies[-1]
        if not isinstance(both, list) or len(both) != 2:
            raise Broken("torn", f"{what}: EXEC of two commands answered {both!r}")
        expect(both[0], both[1], f"{what}: only one of the two increments was made", "torn")
        self.expect_own(both[0], self.done, what)

    async def check(self, server: Connection) -> None:
        values = await server.ask(("GET", self.key), ("GET", f"{self.key}:too"))
        expect(values[0], values[1], f"MULTI {self.key} at the end: only one of the increments was made", "torn")
        await self.counted(server, self.key)


class Watches(Client):
    """WATCH, GET, MULTI, SET, EXEC on a register that several clients write: one of them wins, never two."""

    async def turn(self) -> None:
        register = self.random.randrange(REGISTERS)
        key = f"register:{register}"
        _, value = await self.wire.ask(("WATCH", key), ("GET", key))
        version = int(value) + 1 if isinstance(value, bytes) else 1
        *_, result = await self.wire.ask(("MULTI",), ("SET", key, version), ("EXEC",))
        if result is None:
            self.ledger.conflicts += 1
            return
        expect(result, [b"OK"], f"EXEC on {key}")
        self.ledger.commit(register, version)
        self.done += 1


class Pipelines(Client):
    """A pipeline of INCR and ECHO in turns, which shows the order of replies."""

    async def begin(self) -> None:
        await self.wire.ask(("SET", self.key, self.base))

    async def turn(self) -> None:
        steps = range(self.done, self.done + PIPELINE)
        value = self.unique()
        echoes = [b"%d:%b" % (step, value) for step in steps]
        pairs = [(("INCR", self.key), ("ECHO", echo)) for echo in echoes]
        replies = await self.wire.ask(*[command for pair in pairs for command in pair])
        self.done += PIPELINE
        wanted = [reply for step, echo in zip(steps, echoes, strict=True) for reply in (self.base + step + 1, echo)]
        if replies != wanted and Counter(map(repr, replies)) == Counter(map(repr, wanted)):
            raise Broken("misordered", f"pipeline {self.key}: all replies came, but not in the order of the commands")
        for got, incremented in zip(replies[::2], wanted[::2], strict=True):
            self.expect_own(got, int(incremented) - self.base, f"pipeline {self.key}")
        expect(replies, wanted, f"pipeline {self.key}", "mixed up")

    async def check(self, server: Connection) -> None:
        await self.counted(server, self.key)


class Pushes(Client):
    """RPUSH of jobs that the blocked clients wait for."""

    async def turn(self) -> None:
        job, queue = self.unique(), self.random.randrange(QUEUES)
        self.ledger.unsure.add(job)
        await self.wire.ask(("RPUSH", f"jobs:{queue}", job))
        self.ledger.unsure.discard(job)
        self.ledger.pushed.add(job)
        self.done += 1


KINDS: tuple[type[Client], ...] = (Pushes, Counts, Lists, Transacts, Watches, Pipelines)
