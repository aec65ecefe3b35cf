"""The targets, as ratios of medians, and whether a run has reached them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from bench.cells import BIG_BYTES, P99, Cell, big, small_get
from bench.fairness import BESIDE, Waits
from bench.idle import Idle
from bench.results import Median, Medians, Waited
from bench.unmeasured import CELL as UNMEASURED_CELL
from bench.workers import CLIENTS_EACH, Cost, Costs

OURS = "redisproxy"


@dataclass(frozen=True)
class Target:
    """redisproxy's figure divided by another peer's, on one cell; `at_least` or at most `limit`."""

    label: str
    ours: str
    theirs: str
    cell: Cell
    figure: Callable[[Median], float | None]
    limit: float
    at_least: bool = False


@dataclass(frozen=True)
class Outcome:
    """A target, what was measured (None: not in this run), and the two figures it comes from."""

    label: str
    wanted: str
    measured: float | None
    reached: bool | None
    figures: str


def cpu_us(median: Median) -> float | None:
    """CPU microseconds per command."""
    return median.cpu_us


def rate(median: Median) -> float | None:
    """Commands per second."""
    return median.rate_per_s


def p99(median: Median) -> float | None:
    """99th percentile of latency, ms."""
    return median.p99_ms


def mb_per_cpu_second(median: Median) -> float | None:
    """Megabytes per CPU second, with values of BIG_BYTES."""
    return BIG_BYTES / median.cpu_us if median.cpu_us else None


def _cpu(theirs: str, cell: Cell, limit: float, ours: str = OURS) -> Target:
    return Target(f"CPU per command / {theirs}, {cell.load}", ours, theirs, cell, cpu_us, limit)


def _per_cpu(cell: Cell) -> Target:
    label = f"MB per CPU second / haproxy, {cell}"
    return Target(label, OURS, "haproxy", cell, mb_per_cpu_second, 0.8, at_least=True)


TARGETS = (
    _cpu("twemproxy", small_get(50), 1.0),
    _cpu("twemproxy", small_get(50, 16), 0.5),
    _cpu("twemproxy", small_get(500), 0.9),
    _cpu("haproxy", small_get(50), 0.75),
    _cpu("haproxy", small_get(50, 16), 1.0),
    Target("commands per second / direct, 50 clients, P=1", OURS, "direct", small_get(50), rate, 0.9, True),
    Target("p99 latency / haproxy, 1 client, P=1", OURS, "haproxy", small_get(1), p99, 1.5),
    _cpu("haproxy-tls", small_get(50), 1.0, "redisproxy-tls"),
    _cpu("haproxy-tls", small_get(50, 16), 1.0, "redisproxy-tls"),
    _per_cpu(big("GET")),
    _per_cpu(big("SET")),
)
WAIT_LIMITS = (("unread", False, 1.5), ("read", False, 2.0), ("read", True, 1.5), ("script", False, 1.5))
"""By flood, against direct: the 99th percentile of waits from its start on (False), or of later ones (True). There are
none to compare later on beside replies that nobody reads: then nothing goes on any more."""
IDLE_LIMIT_BYTES = 2048
PLAIN_PEERS = ("direct", "haproxy", "twemproxy")
WORKER_LIMITS = ((2, 1.05), (4, 1.05))
"""CPU per command with so many workers, against one process."""
FIGURES_LIMIT = 1.02
"""CPU per command, against a proxy that measures none."""
TLS_WORKERS, TLS_AT_LEAST = 2, 1.8
"""What they can carry with a processor for each, against one process."""


def outcomes(
    medians: Medians,
    idle: Iterable[Idle],
    waited: Waited | None = None,
    workers: Costs | None = None,
    figures: Mapping[bool, float] | None = None,
) -> list[Outcome]:
    """Every target in its order: loads, waits beside floods, workers, figures, the resident memory.

    @param figures: CPU per command, by whether it is measured.
    """
    loads = [*(_outcome(target, medians) for target in TARGETS), _against_the_best(medians)]
    waits = [_wait(*limit, waited or {}) for limit in WAIT_LIMITS]
    return [*loads, *waits, *_of_workers(workers or {}), _of_figures(figures or {}), _memory(idle)]


def _against_the_best(medians: Medians) -> Outcome:
    ours = medians.get((OURS, P99))
    theirs = [found.p99_ms for peer in PLAIN_PEERS if (found := medians.get((peer, P99)))]
    label = f"p99 latency / that of the best peer, {P99.load}"
    return _compared(label, ours.p99_ms if ours else None, min(theirs, default=None), 1.0)


def _of_workers(costs: Costs) -> Iterable[Outcome]:
    one, one_tls = costs.get((False, 1)), costs.get((True, 1))
    for number, limit in WORKER_LIMITS:
        label = f"CPU per command / one process, {number} workers on one processor, {CLIENTS_EACH} clients each"
        found = costs.get((False, number))
        yield _compared(label, _cpu_of(found), _cpu_of(one), limit)
    label = f"TLS commands per second / one process, {TLS_WORKERS} workers, {CLIENTS_EACH} clients each"
    found = costs.get((True, TLS_WORKERS))
    yield _compared(label, _bound_per_s(found), _bound_per_s(one_tls), TLS_AT_LEAST, at_least=True)


def _of_figures(cpu: Mapping[bool, float]) -> Outcome:
    label = f"CPU per command / without figures, {UNMEASURED_CELL.load}"
    return _compared(label, cpu.get(True), cpu.get(False), FIGURES_LIMIT)


def _cpu_of(cost: Cost | None) -> float | None:
    return cost.cpu_us if cost else None


def _bound_per_s(cost: Cost | None) -> float | None:
    return 1e6 / cost.busiest_us if cost else None


def _outcome(target: Target, medians: Medians) -> Outcome:
    ours, theirs = (_figure(target, medians, name) for name in (target.ours, target.theirs))
    return _compared(target.label, ours, theirs, target.limit, target.at_least)


def _wait(beside: str, later: bool, limit: float, waited: Waited) -> Outcome:
    waits = (waited.get((name, beside), Waits(name, beside, 0.0, 0.0, 0.0)) for name in (OURS, "direct"))
    ours, theirs = (each.later_ms if later else each.p99_ms for each in waits)
    label = f"p99 of a wait{' later on' if later else ''} / direct, beside {BESIDE[beside]}"
    return _compared(label, ours, theirs, limit)


def _compared(label: str, ours: float | None, theirs: float | None, limit: float, at_least: bool = False) -> Outcome:
    wanted = f"{'≥' if at_least else '≤'} {limit:g}"
    if not ours or not theirs:
        return Outcome(label, wanted, None, None, "-")
    ratio = ours / theirs
    reached = ratio >= limit if at_least else ratio <= limit
    return Outcome(label, wanted, ratio, reached, f"{_short(ours)} / {_short(theirs)}")


def _figure(target: Target, medians: Medians, peer: str) -> float | None:
    found = medians.get((peer, target.cell))
    return target.figure(found) if found else None


def _memory(idle: Iterable[Idle]) -> Outcome:
    label = "resident KiB for each idle client"
    found = [each for each in idle if each.peer == OURS]
    wanted = f"≤ {IDLE_LIMIT_BYTES / 1024:g}"
    if not found:
        return Outcome(label, wanted, None, None, "-")
    bytes_each = found[0].bytes_per_client
    clients = f"{found[0].clients:,} clients"
    return Outcome(label, wanted, bytes_each / 1024, bytes_each <= IDLE_LIMIT_BYTES, clients)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
