"""Raw numbers of a run, their medians, and the file they are kept in."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.cells import Cell
from bench.fairness import Waits
from bench.idle import Idle
from bench.unmeasured import Spent
from bench.workers import Shares


@dataclass(frozen=True)
class Sample:
    """One run of one cell. `cpu_s` is what the proxy process used, None without a proxy.

    `connecting` is the run that only measures what it costs to connect: one command from each client.
    """

    peer: str
    cell: Cell
    requests: int
    rate_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_s: float | None
    connecting: bool = False


@dataclass(frozen=True)
class Median:
    """Medians over `runs` of one cell. CPU in microseconds per command, connecting not counted."""

    runs: int
    rate_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float | None


@dataclass
class Results:
    """Everything that a run measured."""

    machine: dict[str, str] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    idle: list[Idle] = field(default_factory=list)
    waits: list[Waits] = field(default_factory=list)
    workers: list[Shares] = field(default_factory=list)
    unmeasured: list[Spent] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def medians(self) -> Medians:
        """Medians by peer and cell."""
        return medians(self.samples)

    def waited(self) -> Waited:
        """What a client waited, by peer and flood."""
        return waited(self.waits)

    def save(self, path: Path) -> None:
        """Write them as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


Medians = dict[tuple[str, Cell], Median]
Waited = dict[tuple[str, str], Waits]


def load(path: Path) -> Results:
    """Read what `save` wrote."""
    raw: dict[str, Any] = json.loads(path.read_text())
    raw["samples"] = [Sample(**{**sample, "cell": Cell(**sample["cell"])}) for sample in raw["samples"]]
    raw["idle"] = [Idle(**idle) for idle in raw["idle"]]
    raw["waits"] = [Waits(**waits) for waits in raw.get("waits", ())]
    raw["workers"] = [Shares(**{**shares, "each_s": tuple(shares["each_s"])}) for shares in raw.get("workers", ())]
    raw["unmeasured"] = [Spent(**spent) for spent in raw.get("unmeasured", ())]
    return Results(**raw)


def medians(samples: Iterable[Sample]) -> Medians:
    """Medians by peer and cell; what connecting costs each peer is taken off its CPU time."""
    known = list(samples)
    connecting = _connecting_s(known)
    groups: dict[tuple[str, Cell], list[Sample]] = defaultdict(list)
    for sample in known:
        if not sample.connecting:
            groups[sample.peer, sample.cell].append(sample)
    return {key: _median(group, connecting.get((key[0], key[1].clients), 0.0)) for key, group in groups.items()}


def _connecting_s(samples: Iterable[Sample]) -> dict[tuple[str, int], float]:
    groups: dict[tuple[str, int], list[float]] = defaultdict(list)
    for sample in samples:
        if sample.connecting and sample.cpu_s is not None:
            groups[sample.peer, sample.cell.clients].append(sample.cpu_s)
    return {key: median(group) for key, group in groups.items()}


def _median(group: list[Sample], connecting_s: float) -> Median:
    # The run that measured connecting sent one command from each client.
    less = group[0].cell.clients if connecting_s else 0
    costs = [(s.cpu_s - connecting_s) / (s.requests - less) * 1e6 for s in group if s.cpu_s is not None]
    return Median(
        len(group),
        median(sample.rate_per_s for sample in group),
        median(sample.p50_ms for sample in group),
        median(sample.p99_ms for sample in group),
        median(costs) if costs else None,
    )


def waited(samples: Iterable[Waits]) -> Waited:
    """By peer and flood: medians, and the longest wait of all."""
    groups: dict[tuple[str, str], list[Waits]] = defaultdict(list)
    for sample in samples:
        groups[sample.peer, sample.beside].append(sample)
    return {
        key: Waits(
            *key,
            p99_ms=median(each.p99_ms for each in group),
            max_ms=max(each.max_ms for each in group),
            later_ms=median(each.later_ms for each in group),
        )
        for key, group in groups.items()
    }
