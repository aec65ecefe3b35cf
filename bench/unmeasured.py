"""What figures cost: the proxy as it is, and one that measures no commands, in turn, on one processor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import load
from bench.cells import small_get
from bench.peers import Peer, Site, redisproxy
from bench.processors import beside_redis

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
    with beside_redis("figures", folder, files, CELL.value_bytes, _started) as peers:
        for number in range(rounds):
            say(f"figures: round {number + 1} of {rounds}")
            for measured in (True, False) if number % 2 else (False, True):
                yield _run(peers[measured], measured, requests)


def _started(site: Site) -> dict[bool, Peer]:
    return {
        True: redisproxy("redisproxy-measured", site),
        False: redisproxy("redisproxy-unmeasured", site, environment=OFF),
    }


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
