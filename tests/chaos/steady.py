"""Clients that behave well and compare every reply with what they know."""

from __future__ import annotations

import random
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import hiredis

from tests.chaos.incidents import DROPPED, ERRORS, LOST, UNAVAILABLE, WRONG, Incidents
from tests.chaos.ledger import Count, Elements, Jobs, Slot
from tests.chaos.wire import NEVER, Lost, Reply, Stuck, Wire

VALUE_BYTES = 200_000


class Client(threading.Thread):
    """Does one thing after the other on one connection; reconnects when that is lost.

    @ivar turns: how often it has got all its replies.
    """

    rough = False
    tls: ssl.SSLContext | None = None

    def __init__(self, name: str, port: int, seed: int, incidents: Incidents) -> None:
        super().__init__(daemon=True, name=name)
        self.port = port
        self.chance = random.Random(f"{seed} {name}")
        self.incidents = incidents
        self.turns = 0
        self.stopping = threading.Event()
        self._wire: Wire | None = None

    def note(self, kind: str, text: str) -> None:
        """Tell of an incident."""
        self.incidents.note(kind, f"{self.name}: {text}", self.rough)

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                if self._wire is None:
                    self._wire = Wire(self.port, tls=self.tls)
                self.turn()
            except OSError as error:
                self.note(LOST, f"can't connect: {error}")
                time.sleep(0.05)
            except Exception as error:
                self.note(WRONG, f"{type(error).__name__}: {error}")
                self._leave()
        self._leave()

    def _leave(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def turn(self) -> None:
        """Do one thing; each kind of client has its own."""
        raise NotImplementedError

    def ask(self, *commands: tuple[Any, ...]) -> list[Reply]:
        """Send all at once and return the replies; NEVER stands for one that will not come."""
        assert self._wire is not None
        try:
            replies = self._wire.ask(*commands)
        except Lost as lost:
            self.note(LOST, f"lost with {commands[len(lost.replies)][0]} in flight: {lost}")
            self._leave()
            return [*lost.replies, *[NEVER] * (len(commands) - len(lost.replies))]
        except Stuck as stuck:
            self.note(WRONG, str(stuck))
            self._leave()
            return [NEVER] * len(commands)
        self.turns += 1
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, hiredis.ReplyError):
                kind = UNAVAILABLE if str(reply).split()[0] in ERRORS else WRONG
                self.note(kind, f"{command[0]} answered {reply}")
        return replies

    def expect(self, true: bool, text: str) -> None:
        """Note an incident unless `true`."""
        if not true:
            self.note(WRONG, text)


def failed(reply: Reply) -> bool:
    """Whether the command was not carried out."""
    return isinstance(reply, hiredis.ReplyError)


class Writer(Client):
    """Counts, pushes, sets and reads, in pipelines and transactions."""

    def __init__(self, name: str, port: int, seed: int, incidents: Incidents, rough: bool = False) -> None:
        super().__init__(name, port, seed, incidents)
        self.rough = rough
        self.count, self.pairs = Count(), Count()
        self.elements = Elements()
        self.slots = [Slot()]
        self.number = 0
        self.big = self.chance.randbytes(VALUE_BYTES)
        self.big_is_there = False

    def turn(self) -> None:
        acts: list[Callable[[], None]] = [
            self._pipeline,
            self._pipeline,
            self._set,
            self._transaction,
            self._slow_multi,
        ]
        self.chance.choice([*acts, self._big])()
        time.sleep(self.chance.uniform(0, 0.03))

    def _pipeline(self) -> None:
        words = [f"{self.name}-{self.number + step}" for step in range(self.chance.randint(1, 6))]
        self.number += len(words)
        commands: list[tuple[Any, ...]] = []
        for word in words:
            commands += [("INCR", f"count:{self.name}"), ("ECHO", word), ("RPUSH", f"list:{self.name}", word)]
        replies = self.ask(*commands)
        for step, word in enumerate(words):
            counted, echoed, pushed = replies[3 * step : 3 * step + 3]
            self._counted(self.count, counted)
            self.expect(echoed is NEVER or failed(echoed) or echoed == word.encode(), f"{word} came back as {echoed!r}")
            self._pushed(word, pushed)

    def _counted(self, count: Count, reply: Reply) -> None:
        if reply is NEVER:
            count.unanswered()
        elif not failed(reply):
            problem = count.replied(reply)
            self.expect(not problem, problem)

    def _pushed(self, word: str, reply: Reply) -> None:
        elements = self.elements
        if reply is NEVER:
            elements.unknown.add(word)
        elif not failed(reply):
            elements.acknowledged.append(word)
            least = len(elements.acknowledged)
            right = isinstance(reply, int) and least <= reply <= least + len(elements.unknown)
            self.expect(
                right, f"the list has {reply!r} elements, {least} and {len(elements.unknown)} unknown were pushed"
            )

    def _set(self) -> None:
        slot, key = self.slots[-1], f"slot:{self.name}:{len(self.slots)}"
        self.number += 1
        value = str(self.number)
        was_set, got = self.ask(("SET", key, value), ("GET", key))
        if was_set is NEVER:
            slot.unanswered(value)
            self.slots.append(Slot())
            return
        if not failed(was_set):
            slot.acknowledged(value)
        if got is not NEVER and not failed(got):
            problem = slot.read(got.decode() if isinstance(got, bytes) else None)
            self.expect(not problem, problem)

    def _transaction(self) -> None:
        pair = [("INCR", f"{which}:{self.name}") for which in ("left", "right")]
        replies = self.ask(("MULTI",), *pair, ("EXEC",))
        self._executed(replies[-1])

    def _slow_multi(self) -> None:
        """MULTI, and its commands one after the other, so that much can happen in between."""
        self.ask(("MULTI",))
        for which in ("left", "right"):
            if self._wire is None:
                return
            time.sleep(self.chance.uniform(0, 0.02))
            self.ask(("INCR", f"{which}:{self.name}"))
        if self._wire is not None:
            self._executed(self.ask(("EXEC",))[0])

    def _executed(self, reply: Reply) -> None:
        if reply is NEVER:
            self.pairs.unanswered()
        elif not failed(reply):
            both = isinstance(reply, list) and len(reply) == 2 and reply[0] == reply[1]
            self.expect(both, f"EXEC answered {reply!r}")
            if isinstance(reply, list) and reply:
                self._counted(self.pairs, reply[0])

    def _big(self) -> None:
        key = f"big:{self.name}"
        if not self.big_is_there:
            self.big_is_there = self.ask(("SET", key, self.big))[0] == b"OK"
            return
        got = self.ask(("GET", key))[0]
        self.expect(got is NEVER or failed(got) or got == self.big, "a large value came back changed")

    def final(self, server: Any) -> list[str]:
        """Compare the server's data with what this client knows."""
        name = self.name
        left, right = (int(server.get(f"{which}:{name}") or 0) for which in ("left", "right"))
        problems = [
            self.count.final(int(server.get(f"count:{name}") or 0)),
            self.pairs.final(left),
            "" if left == right else f"a transaction was torn: {left} and {right}",
            self.elements.final(server.lrange(f"list:{name}", 0, -1)),
            *(slot.read(server.get(f"slot:{name}:{number + 1}")) for number, slot in enumerate(self.slots)),
        ]
        return [f"{name}: {problem}" for problem in problems if problem]


class Producer(Client):
    """Pushes jobs."""

    def __init__(self, name: str, port: int, seed: int, incidents: Incidents, jobs: Jobs, queue: str) -> None:
        super().__init__(name, port, seed, incidents)
        self.jobs, self.queue = jobs, queue
        self.number = 0

    def turn(self) -> None:
        self.number += 1
        job = f"{self.name}-{self.number}"
        reply = self.ask(("LPUSH", self.queue, job))[0]
        if reply is NEVER:
            self.jobs.unknown.add(job)
        elif not failed(reply):
            self.jobs.pushed.add(job)
        time.sleep(self.chance.uniform(0, 0.05))


class Worker(Client):
    """Waits for jobs."""

    def __init__(self, name: str, port: int, seed: int, incidents: Incidents, jobs: Jobs, queue: str) -> None:
        super().__init__(name, port, seed, incidents)
        self.jobs, self.queue = jobs, queue

    def turn(self) -> None:
        reply = self.ask(("BRPOP", self.queue, self.chance.choice(["0.3", "1", "3"])))[0]
        if isinstance(reply, list):
            self.jobs.popped.append(reply[1].decode())
        elif reply is NEVER:
            self.jobs.lost_pops.append(self.name)


class Idle:
    """Clients that send nothing while there are faults: nothing is in flight for them, so they stay connected."""

    def __init__(self, port: int, count: int, incidents: Incidents) -> None:
        self._port = port
        self._incidents = incidents
        self._wires = [Wire(port) for _ in range(count)]

    def check(self) -> None:
        """Each says something on the connection that it has had from the beginning."""
        for number, wire in enumerate(self._wires):
            try:
                if (reply := wire.ask(("PING",))[0]) != b"PONG":
                    self._incidents.note(WRONG, f"idle client {number}: PING answered {reply!r}")
            except (Lost, Stuck) as error:
                kind = DROPPED if isinstance(error, Lost) else WRONG
                self._incidents.note(kind, f"idle client {number} with nothing in flight: {error}")
                self._wires[number] = Wire(self._port)

    def close(self) -> None:
        """They leave."""
        for wire in self._wires:
            wire.close()
