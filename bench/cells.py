"""What is measured: cells (one kind of load), and the plans that say which of them, how often and how long."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

LEAST_PIPELINES = 2
LEAST_BESIDE_A_HANDSHAKE = 60
LEAST_BESIDE_THE_FIRST = 120
BIG_BYTES = 100_000
HUGE_BYTES = 200_000_000


@dataclass(frozen=True, order=True)
class Cell:
    """One kind of load: `pipeline` commands a round trip from each of `clients` connections."""

    value_bytes: int
    command: Literal["GET", "SET"]
    clients: int
    pipeline: int

    def __str__(self) -> str:
        return f"{self.command} {size_text(self.value_bytes)}, {self.load}"

    @property
    def load(self) -> str:
        """Clients and pipeline, for people."""
        clients = "1 client" if self.clients == 1 else f"{self.clients:,} clients"
        return f"{clients}, P={self.pipeline}"


def size_text(count: int) -> str:
    """A number of bytes as the tables write it."""
    return f"{count // 1000} KB" if count >= 1000 else f"{count} B"


def small_get(clients: int, pipeline: int = 1) -> Cell:
    """The load that the targets are mostly about: GET of three bytes."""
    return Cell(3, "GET", clients, pipeline)


def big(command: Literal["GET", "SET"]) -> Cell:
    """100 KB values, 50 clients, one command a round trip."""
    return Cell(BIG_BYTES, command, 50, 1)


KEY_PLAIN = (small_get(50), small_get(50, 16), small_get(500), small_get(1), big("GET"), big("SET"))
P99 = small_get(500)
"""Its first commands, which wait until all clients are connected, have to be fewer than one in a hundred."""
KEY_TLS = (small_get(50), small_get(50, 16))
GROWTH = tuple(small_get(clients) for clients in (1, 10, 50, 500, 1000, 5000))
_COMMANDS: tuple[Literal["GET", "SET"], ...] = ("GET", "SET")
GRID = tuple(
    sorted(
        Cell(size, command, clients, pipeline)
        for size, command, clients, pipeline in product((3, 1000, BIG_BYTES), _COMMANDS, (1, 50, 500), (1, 16))
    )
)
# 800 MB in flight: seconds a run, whatever is asked for.
HUGE = tuple(cell for cell in GRID if cell.clients * cell.pipeline * cell.value_bytes > HUGE_BYTES)


@dataclass(frozen=True)
class Stage:
    """Some cells, each measured `rounds` times for `seconds`; they take `share` of the whole time at most."""

    name: str
    plain: tuple[Cell, ...]
    tls: tuple[Cell, ...]
    rounds: int
    seconds: float
    share: float


@dataclass(frozen=True)
class Beside:
    """Waits beside floods, each measured `rounds` times for `seconds` on these peers; `share` is that of a L{Stage}."""

    peers: tuple[str, ...]
    rounds: int
    seconds: float
    share: float


@dataclass(frozen=True)
class Workers:
    """Workers, each number measured `rounds` times with so many commands."""

    rounds: int
    requests: int


@dataclass(frozen=True)
class Plan:
    """A whole run. No stage starts another measurement after its share of `budget_s` is spent."""

    stages: tuple[Stage, ...]
    beside: Beside
    workers: Workers
    idle_clients: int
    budget_s: float


def quick_plan(budget_s: float | None = None) -> Plan:
    """What the targets need, in about two minutes."""
    beside = Beside(("direct", "redisproxy"), 2, 1.4, 0.5)
    stages = (Stage("key figures", KEY_PLAIN, KEY_TLS, 3, 0.4, 1.0),)
    return Plan(stages, beside, Workers(3, 20_000), 10_000, budget_s or 110.0)


def full_plan(budget_s: float | None = None) -> Plan:
    """Everything, in less than 10 minutes."""
    growth = tuple(cell for cell in GROWTH if cell not in KEY_PLAIN)
    rest = tuple(cell for cell in GRID if cell not in (*KEY_PLAIN, *HUGE))
    rest_tls = tuple(cell for cell in GRID if cell not in (*KEY_TLS, *HUGE))
    stages = (
        Stage("key figures", KEY_PLAIN, KEY_TLS, 9, 0.45, 0.4),
        Stage("growth", growth, (), 3, 0.8, 0.55),
        Stage("the most bytes at once", HUGE, HUGE, 1, 0.1, 0.65),
        Stage("grid", rest, rest_tls, 3, 0.35, 1.0),
    )
    beside = Beside(("direct", "redisproxy", "haproxy", "twemproxy"), 4, 2.0, 0.25)
    return Plan(stages, beside, Workers(9, 40_000), 10_000, budget_s or 560.0)


def first_guess_per_s(cell: Cell, tls: bool) -> float:
    """Guess a rate, to size the first run of a cell; later runs use the rate that was measured."""
    by_load = {(True, True): 8_000, (True, False): 80_000, (False, True): 40_000, (False, False): 300_000}
    rate = min(by_load[cell.clients == 1, cell.pipeline == 1], 2e8 / cell.value_bytes)
    if not tls:
        return rate
    # redis-benchmark leaves Nagle's algorithm on: the last record of a big value waits 40 ms for an ACK.
    stalls = cell.command == "SET" and cell.value_bytes >= BIG_BYTES and cell.pipeline == 1
    return min(rate * 0.6, cell.clients * 25) if stalls else rate * 0.6


def requests_for(cell: Cell, rate_per_s: float, seconds: float, tls: bool = False) -> int:
    """How many commands take about `seconds`: whole pipelines, and enough of them for each client."""
    step = cell.clients * cell.pipeline
    return step * max(_least_pipelines(cell, tls), round(rate_per_s * seconds / step))


def _least_pipelines(cell: Cell, tls: bool) -> int:
    """The least for each client: its beginning must not outweigh its commands, values in flight not the memory."""
    if cell in HUGE:
        return 1
    if cell == P99:
        return LEAST_BESIDE_THE_FIRST
    return LEAST_BESIDE_A_HANDSHAKE if tls and cell.value_bytes < BIG_BYTES else LEAST_PIPELINES
