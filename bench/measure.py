"""The run itself: all peers up at once, every cell on each in turn, round after round."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from bench import certificate, fairness, idle, load, machine, unmeasured, workers
from bench.cells import Cell, Plan, Stage, first_guess_per_s, requests_for, small_get
from bench.errors import BenchError
from bench.fairness import BESIDE
from bench.load import KEY
from bench.peers import Peer, Site, start_peer, start_redis
from bench.processes import Processes
from bench.results import Results, Sample
from bench.targets import OURS
from bench.wire import Connection

Say = Callable[[str], None]


@dataclass
class Run:
    """One run. `say` is called with each thing that begins; `files` is how many files a process may open."""

    plan: Plan
    names: Sequence[str]
    folder: Path
    files: int
    say: Say
    results: Results = field(default_factory=Results)
    _rates: dict[tuple[str, Cell], float] = field(default_factory=dict)
    _given_up: set[tuple[str, Cell | str]] = field(default_factory=set)

    def execute(self) -> Results:
        """Measure everything in the plan. What fails is left out of the results, and named there."""
        began = time.monotonic()
        self.results.machine = machine.describe()
        self._measure_idle()
        self._measure_workers()
        with Processes() as processes:
            site = self._site(processes)
            peers = [peer for name in self.names if (peer := self._start(name, site))]
            self._describe_data_path(peers)
            self._fairness(peers, site, began + self.plan.beside.share * self.plan.budget_s)
            for stage in self.plan.stages:
                self._stage(stage, peers, site, began + stage.share * self.plan.budget_s)
        self.results.seconds = time.monotonic() - began
        return self.results

    def _site(self, processes: Processes) -> Site:
        return Site(
            processes,
            self.folder,
            start_redis(processes, self.folder, self.files),
            certificate.make(self.folder),
            self.files,
        )

    def _start(self, name: str, site: Site) -> Peer | None:
        try:
            return start_peer(name, site)
        except (BenchError, OSError) as error:
            self._failed(f"{name} was left out: {error}")
            return None

    def _describe_data_path(self, peers: Sequence[Peer]) -> None:
        admin = next((peer for peer in peers if peer.admin_port), None)
        text = machine.data_path(admin) if admin else ""
        if text:
            self.results.machine["redisproxy"] = text

    def _failed(self, text: str) -> None:
        self.results.failures.append(text)
        self.say(text)

    def _measure_idle(self) -> None:
        """Measure each peer in a fresh process, with a fresh Redis behind it."""
        for name in self.names:
            if name == "direct" or name.endswith("-tls"):
                continue
            self.say(f"idle clients: {name}")
            with Processes() as processes:
                peer = self._start(name, self._site(processes))
                try:
                    if peer:
                        self.results.idle.append(idle.measure(peer, min(self.plan.idle_clients, peer.capacity)))
                except (BenchError, OSError) as error:
                    self._failed(f"idle clients, {name}: {error}")

    def _measure_workers(self) -> None:
        plan = self.plan.workers
        if OURS not in self.names:
            return
        try:
            self.results.workers += workers.measure(self.folder, self.files, plan.rounds, plan.requests, self.say)
        except (BenchError, OSError) as error:
            self._failed(f"workers of redisproxy: {error}")
        try:
            measured = unmeasured.measure(self.folder, self.files, 2 * plan.rounds, plan.requests, self.say)
            self.results.unmeasured += measured
        except (BenchError, OSError) as error:
            self._failed(f"what figures cost: {error}")

    def _fairness(self, peers: Sequence[Peer], site: Site, deadline: float) -> None:
        """Measure waits beside floods on one peer after the other."""
        plan = self.plan.beside
        chosen = [peer for peer in peers if peer.name in plan.peers]
        for number in range(plan.rounds):
            self.say(f"waits beside others: round {number + 1} of {plan.rounds}")
            turn = number % len(chosen) if chosen else 0
            for beside, peer in product(BESIDE, [*chosen[turn:], *chosen[:turn]]):
                if time.monotonic() > deadline:
                    self.say("waits beside others: their time is over")
                    return
                self._try_fairness(peer, beside, site)

    def _try_fairness(self, peer: Peer, beside: str, site: Site) -> None:
        if (peer.name, beside) in self._given_up:
            return
        try:
            found = fairness.measure(peer, beside, self.plan.beside.seconds, site.redis.port)
        except (BenchError, OSError) as error:
            self._given_up.add((peer.name, beside))
            self._failed(f"{peer.name}, beside {BESIDE[beside]}: {error}")
        else:
            self.results.waits.append(found)

    def _stage(self, stage: Stage, peers: Sequence[Peer], site: Site, deadline: float) -> None:
        for number in range(stage.rounds):
            self.say(f"{stage.name}: round {number + 1} of {stage.rounds}")
            # Another peer begins each round.
            turn = number % len(peers) if peers else 0
            for peer, cell, connecting in _round(stage, [*peers[turn:], *peers[:turn]]):
                if time.monotonic() > deadline:
                    self.say(f"{stage.name}: its time is over")
                    return
                self._try(peer, cell, connecting, stage.seconds, site)

    def _try(self, peer: Peer, cell: Cell, connecting: bool, seconds: float, site: Site) -> None:
        if (peer.name, cell) in self._given_up or cell.clients > peer.capacity:
            return
        try:
            self.results.samples.append(self._sample(peer, cell, connecting, seconds, site))
        except (BenchError, OSError) as error:
            self._given_up.add((peer.name, cell))
            self._failed(f"{peer.name}, {cell}: {error}")

    def _sample(self, peer: Peer, cell: Cell, connecting: bool, seconds: float, site: Site) -> Sample:
        rate = self._rates.get((peer.name, cell)) or first_guess_per_s(cell, peer.tls)
        requests = cell.clients if connecting else requests_for(cell, rate, seconds, peer.tls)
        sample = _run(peer, cell, requests, site.redis.port)
        if not connecting:
            self._rates[peer.name, cell] = sample.rate_per_s
        return replace(sample, connecting=connecting)


def _round(stage: Stage, peers: Sequence[Peer]) -> Iterator[tuple[Peer, Cell, bool]]:
    """Measure what it costs to connect, then the cells, each on one peer after the other."""
    for clients in sorted({cell.clients for cell in (*stage.plain, *stage.tls)}):
        for peer in peers:
            if any(cell.clients == clients for cell in (stage.tls if peer.tls else stage.plain)):
                yield peer, small_get(clients), True
    for cell in sorted({*stage.plain, *stage.tls}):
        for peer in peers:
            if cell in (stage.tls if peer.tls else stage.plain):
                yield peer, cell, False


def _run(peer: Peer, cell: Cell, requests: int, redis_port: int) -> Sample:
    """Run one load. Raises BenchError when Redis did not get every command: error replies do not count."""
    if peer.process:
        peer.process.check()
    with Connection(redis_port) as redis:
        redis.ask(b"SET", KEY, b"x" * cell.value_bytes)
        processed = redis.commands_processed()
        before = peer.process.cpu_s() if peer.process else None
        seen = load.run(peer, cell, requests)
        after = peer.process.cpu_s() if peer.process else None
        if redis.commands_processed() - processed < requests:
            raise BenchError("not every command reached Redis")
    cpu_s = after - before if after is not None and before is not None else None
    return Sample(peer.name, cell, requests, seen.rate_per_s, seen.p50_ms, seen.p99_ms, cpu_s)
