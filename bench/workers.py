"""What a command costs with several workers: all of them on one processor, Redis and the load on another one.

So the workers together are as busy as a single process is, whatever the machine. Spread over idle processors each would
be woken for fewer commands at a time, and that, not workers, would be measured.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median

from bench import load, machine
from bench.cells import small_get
from bench.errors import BenchError
from bench.peers import Peer, Site, redisproxy
from bench.processors import beside_redis

CLIENTS_EACH = 100
"""For each worker, so that as many commands of its clients come together as in a single process."""
NUMBERS = (1, 2, 4)
START_S = 60.0


@dataclass(frozen=True)
class Shares:
    """One run: CPU seconds of each process of the proxy, always in the same sequence.

    `connecting` is the run that only measures what it costs to connect: one command from each client.
    """

    workers: int
    tls: bool
    requests: int
    each_s: tuple[float, ...]
    connecting: bool = False


@dataclass(frozen=True)
class Cost:
    """CPU microseconds per command, connecting not counted: medians over `runs`.

    `busiest_us` is the busiest process's time by the commands of all: their bound, with a processor for each process.
    """

    runs: int
    cpu_us: float
    busiest_us: float


Costs = dict[tuple[bool, int], Cost]
"""By TLS and number of workers."""


def measure(folder: Path, files: int, rounds: int, requests: int, say: Callable[[str], None]) -> Iterator[Shares]:
    """Measure each number of workers in turn, round after round.

    Raises BenchError when there is one processor only, or a proxy does not start or answer.
    """
    with beside_redis("workers", folder, files, small_get(1).value_bytes, _all_started) as proxies:
        for number in range(rounds):
            say(f"workers: round {number + 1} of {rounds}")
            for (tls, workers), peer in proxies.items():
                yield _run(peer, workers, tls, CLIENTS_EACH * workers, connecting=True)
                yield _run(peer, workers, tls, requests, connecting=False)


def _all_started(site: Site) -> dict[tuple[bool, int], Peer]:
    return {(tls, number): _started(number, tls, site) for tls, number in product((False, True), NUMBERS)}


def _started(workers: int, tls: bool, site: Site) -> Peer:
    peer = redisproxy(f"redisproxy-{workers}{'-tls' if tls else ''}", site, workers)
    deadline = time.monotonic() + START_S
    while not _all_there(peer, workers):
        if time.monotonic() > deadline:
            raise BenchError(f"{peer.name}: not all workers have begun within {START_S:g} s")
        time.sleep(0.1)
    return peer


def _all_there(peer: Peer, workers: int) -> bool:
    with suppress(OSError, ValueError, KeyError):
        found = machine.info(peer).get("workers", ())
        return workers == 1 or (len(found) == workers and all(each["connected"] for each in found))
    return False


def _run(peer: Peer, workers: int, tls: bool, requests: int, connecting: bool) -> Shares:
    assert peer.process is not None
    before = peer.process.cpu_each_s()
    load.run(peer, small_get(CLIENTS_EACH * workers), requests)
    after = peer.process.cpu_each_s()
    if before.keys() != after.keys():
        raise BenchError(f"{peer.name}: a worker was lost")
    each_s = tuple(after[pid] - before[pid] for pid in sorted(before))
    return Shares(workers, tls, requests, each_s, connecting)


def costs(samples: Iterable[Shares]) -> Costs:
    """Medians by TLS and number of workers; what connecting costs is taken off."""
    groups: dict[tuple[bool, int, bool], list[Shares]] = defaultdict(list)
    for sample in samples:
        groups[sample.tls, sample.workers, sample.connecting].append(sample)
    return {
        (tls, workers): _cost(group, groups.get((tls, workers, True), []))
        for (tls, workers, connecting), group in groups.items()
        if not connecting
    }


def _cost(group: Sequence[Shares], connecting: Sequence[Shares]) -> Cost:
    commands = group[0].requests - (connecting[0].requests if connecting else 0)
    first = _medians(connecting) if connecting else [0.0] * len(group[0].each_s)
    each_us = [(whole - less) / commands * 1e6 for whole, less in zip(_medians(group), first, strict=True)]
    return Cost(len(group), sum(each_us), max(each_us))


def _medians(group: Sequence[Shares]) -> list[float]:
    return [median(of_one) for of_one in zip(*(each.each_s for each in group), strict=True)]
