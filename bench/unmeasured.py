"""What figures cost: the proxy as it is, and one that measures no commands, in turn, on one processor."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import certificate, load
from bench.cells import small_get
from bench.errors import BenchError
from bench.load import KEY
from bench.peers import Peer, Site, redisproxy, start_redis
from bench.processes import Processes
from bench.wire import Connection
from bench.workers import on_processor

CELL = small_get(50)
OFF = {"REDISPROXY_FIGURES": "0"}


@dataclass(frozen=True)
class Spent:
    """One run: CPU seconds for so many commands, always in the same sequence. @ivar measured: figures were taken."""

    measured: bool
    requests: int
    cpu_s: float


def measure(folder: Path, files: int, rounds: int, requests: int, say: Callable[[str], None]) -> Iterator[Spent]:
    """Measure both in turn, round after round.

    Raises BenchError when there is one processor only, or a proxy does not start or answer.
    """
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2:
        raise BenchError("figures: two processors are needed to measure what they cost")
    with Processes() as processes:
        with on_processor(processors[-1]):
            redis = start_redis(processes, folder, files)
        site = Site(processes, folder, redis, certificate.make(folder), files)
        with on_processor(processors[0]):
            peers = {
                True: redisproxy("redisproxy-measured", site),
                False: redisproxy("redisproxy-unmeasured", site, environment=OFF),
            }
        with on_processor(processors[-1]), Connection(redis.port) as at_redis:
            at_redis.ask(b"SET", KEY, b"x" * CELL.value_bytes)
            for number in range(rounds):
                say(f"figures: round {number + 1} of {rounds}")
                for measured in (True, False) if number % 2 else (False, True):
                    yield _run(peers[measured], measured, requests)


def _run(peer: Peer, measured: bool, requests: int) -> Spent:
    """What connecting costs is the same for both, and taken off."""
    assert peer.process is not None
    at = [peer.process.cpu_s()]
    for each in (CELL.clients, requests):
        load.run(peer, CELL, each)
        at.append(peer.process.cpu_s())
    connecting_s, all_s = at[1] - at[0], at[2] - at[1]
    return Spent(measured, requests - CELL.clients, all_s - connecting_s)


def cpu_us(spent: Iterable[Spent]) -> dict[bool, float]:
    """CPU microseconds per command, by whether figures were taken: medians."""
    known = list(spent)
    each = {
        measured: [s.cpu_s / s.requests * 1e6 for s in known if s.measured is measured] for measured in (True, False)
    }
    return {taken: median(costs) for taken, costs in each.items() if costs}
