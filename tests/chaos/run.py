"""Plays one run: laps of rounds with clients at work; after each lap it checks the data and the proxy's size."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from tests.chaos import rounds
from tests.chaos.hostile import Crowd
from tests.chaos.incidents import DROPPED, LOST, WRONG, Incidents
from tests.chaos.ledger import Jobs
from tests.chaos.probe import Size
from tests.chaos.relay import Weather
from tests.chaos.steady import Client, Idle, Producer, Worker, Writer
from tests.chaos.world import World

RECOVERY_S = 20.0
LAP_ROUNDS = 14
CALM_S = 0.4
SHOWN = 5


@dataclass
class Verdict:
    """The result of a run."""

    seed: int
    rounds: Counter[str] = field(default_factory=Counter)
    turns: int = 0
    moves: int = 0
    problems: list[str] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    tricks: Counter[str] = field(default_factory=Counter)


class Lap:
    """Clients that come, work through some rounds, and leave."""

    def __init__(self, run: Run, number: int, clients: int) -> None:
        world, seed, incidents = run.world, run.verdict.seed, run.incidents
        port, rough = world.proxy.port, world.clients.port
        self._run = run
        self._queue = f"jobs:{number}"
        self.jobs = Jobs()
        self.writers = [Writer(f"{number}-w{each}", port, seed, incidents) for each in range(clients)]
        self.writers += [Writer(f"{number}-r{each}", rough, seed, incidents, True) for each in range(clients // 3)]
        for each in range(clients // 3):
            self.writers.append(Writer(f"{number}-t{each}", world.tls_port, seed, incidents))
            self.writers[-1].tls = world.tls
        made: list[Client] = [
            Producer(f"{number}-p{each}", port, seed, incidents, self.jobs, self._queue) for each in range(2)
        ]
        made += [Worker(f"{number}-b{each}", port, seed, incidents, self.jobs, self._queue) for each in range(3)]
        self.clients: list[Client] = [*self.writers, *made]
        self.idle = Idle(port, 5, incidents)
        for client in self.clients:
            client.start()

    def get_on(self) -> None:
        """Wait until every client has got a reply to something that it asks from now on."""
        before = {client: client.turns for client in self.clients}
        until = time.monotonic() + RECOVERY_S
        while slow := [client for client in self.clients if client.turns < before[client] + 2]:
            if time.monotonic() > until:
                names = ", ".join(client.name for client in slow)
                self._run.incidents.note(WRONG, f"no way on for {names} {RECOVERY_S:.0f} s after the faults")
                return
            time.sleep(0.02)

    def end(self) -> None:
        """The clients leave, and the server's data is compared with what they know."""
        for client in self.clients:
            client.stopping.set()
        for client in self.clients:
            client.join(30)
            if client.is_alive():
                self._run.incidents.note(WRONG, f"{client.name} waits for ever")
        self.idle.close()
        self._run.verdict.turns += sum(client.turns for client in self.clients)
        server: Any = self._run.world.current.ask()
        problems = [problem for writer in self.writers for problem in writer.final(server)]
        problems += [self.jobs.final(server.lrange(self._queue, 0, -1))]
        self._run.wrong(f"data at {self._run.world.current.name}", [each for each in problems if each])


class Run:
    """Everything of one run.

    @param durable: whether the servers keep what they acknowledge; without that the oracles have to find what is lost.
    @param workers: of the proxy.
    """

    def __init__(self, seed: int, clients: int, durable: bool = True, workers: int = 1) -> None:
        self.chance = random.Random(seed)
        self.verdict = Verdict(seed)
        self.incidents = Incidents()
        self._clients = clients
        self._began = time.monotonic()
        self.world = World(seed, durable, workers)
        self.crowd = Crowd(
            self.world.proxy.port, self.world.tls_port, seed, self.incidents, lambda: self.world.stopped_until
        )
        self.world.current.ask().set("ballast", random.Random(seed).randbytes(300_000).hex())
        self._laps = 0
        self._closed = self.world.closed()

    def say(self, text: str) -> None:
        """One line of the transcript."""
        print(f"{time.monotonic() - self._began:7.1f}  {text}", flush=True)

    def wrong(self, where: str, problems: Iterable[str]) -> None:
        """Something is wrong."""
        found = [f"{where}: {problem}" for problem in problems]
        self.verdict.problems += found
        for text in found[:SHOWN]:
            self.say(f"WRONG    {text}")

    def lap(self, program: Iterable[rounds.Round]) -> None:
        """Clients come, the rounds of `program` follow each other, clients leave, and the proxy is small again."""
        self._laps += 1
        lap = Lap(self, self._laps, self._clients)
        try:
            lap.get_on()
            for each in program:
                self._round(lap, each)
        finally:
            self.world.heal()
            lap.get_on()
            lap.end()
        self.wrong("the end of the lap", self.incidents.judge(frozenset()))
        self._measure()

    def _round(self, lap: Lap, each: rounds.Round) -> None:
        name = each.__name__
        self.verdict.rounds[name] += 1
        weather, meddles, crowd = self._surroundings(each)
        with self._around(weather, meddles, crowd):
            outcome = each(self.world, self.chance)
        self.world.heal()
        lap.get_on()
        self.verdict.moves += outcome.moved
        rough = frozenset({LOST}) if weather else frozenset[str]()
        self.say(f"{name:15} {outcome.text}")
        if DROPPED in outcome.allowed:
            lap.idle.check()  # they learn of it only when they look
        closed, self._closed = self._closed, self.world.closed()
        problems = [*outcome.problems, *self.incidents.judge(outcome.allowed, rough)]
        if problems:
            self.say(f"         clients closed by the proxy: {dict(self._closed - closed)}")
        self.wrong(name, problems)
        time.sleep(CALM_S)
        lap.idle.check()
        self.wrong(f"calm after {name}", self.incidents.judge(frozenset()))

    def _surroundings(self, each: rounds.Round) -> tuple[Weather | None, bool, int]:
        chance = self.chance
        weather = Weather(
            chance.uniform(0, 0.02), 0.01, chance.choice([0, 1, 5]), cut_after_bytes=chance.choice([None, 30])
        )
        meddles = each in rounds.ROUGH and chance.random() < 0.5
        return weather if chance.random() < 0.5 else None, meddles, chance.choice([0, 2, 5])

    @contextlib.contextmanager
    def _around(self, weather: Weather | None, meddles: bool, crowd: int) -> Iterator[None]:
        """Add hostile clients, a meddling operator and, for some clients, a faulty way to the proxy to a round."""
        if weather:
            self.world.clients.set(weather)
        self.crowd.come(crowd)
        try:
            with rounds.meddling(self.world, self.chance) if meddles else contextlib.nullcontext():
                yield
        finally:
            self.crowd.go()

    def _measure(self) -> None:
        try:
            size = self.world.size()
        except AssertionError as error:
            self.wrong("in the end", [str(error)])
            return
        self.say(f"size     {size}")
        self.verdict.sizes.append(size)
        first = next(each for each in self.verdict.sizes if each.pid == size.pid)
        self.wrong("the proxy has grown", size.grown_from(first))

    def close(self) -> None:
        """End everything."""
        if "internal_error" in self.world.closed():
            self.wrong("clients closed", ["by an internal error"])
        self.verdict.tricks.update(self.crowd.tricks)
        self.wrong("the end", self.world.close(keep=bool(self.verdict.problems)))


def chaos(seed: int, seconds: float, durable: bool = True, workers: int = 1) -> Verdict:
    """Play a whole run of about this many seconds."""
    run = Run(seed, 12, durable, workers)
    until = time.monotonic() + seconds
    try:
        run.lap(rounds.WARM_UP)
        program = rounds.program(run.chance, rounds.more(workers))
        while time.monotonic() < until:
            run.lap(_before(until, islice(program, LAP_ROUNDS)))
    finally:
        run.close()
    return run.verdict


def short(seed: int, durable: bool = True, workers: int = 1) -> Verdict:
    """Play a few rounds of the most important kinds, or just a crash where the servers forget."""
    run = Run(seed, 6, durable, workers)
    try:
        run.lap(_short(workers) if durable else [rounds.crash])
    finally:
        run.close()
    return run.verdict


def _short(workers: int) -> list[rounds.Round]:
    return rounds.SHORT if workers == 1 else rounds.SHORT_OF_WORKERS


def _before(until: float, program: Iterable[rounds.Round]) -> Iterator[rounds.Round]:
    for each in program:
        if time.monotonic() < until:
            yield each
