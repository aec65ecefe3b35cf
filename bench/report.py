"""Writes docs/benchmarks.md from the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from textwrap import fill

from bench.cells import GRID, GROWTH, Cell, size_text
from bench.certificate import CIPHER_SUITE, TLS_VERSION
from bench.fairness import BESIDE
from bench.peers import PEERS
from bench.results import Median, Medians, Results, Waited
from bench.targets import Outcome, outcomes
from bench.unmeasured import cpu_us
from bench.workers import CLIENTS_EACH, Costs, costs

WIDTH = 100
"""Where lines of prose break."""
PLOTS = {
    "cpu.png": "CPU microseconds per command of the proxy process",
    "rate.png": "Commands per second",
    "latency.png": "p99 latency",
    "growth.png": "CPU per command as clients grow in number",
    "memory.png": "Resident memory for each idle client",
}

_INTRO = """# Benchmarks

What does it cost to put redisproxy before Redis? Here it stands beside Redis without a proxy, HAProxy
in TCP mode and twemproxy, and beside HAProxy where TLS is terminated. `make bench` measures all of
this again and writes this page (under 10 minutes); `make bench-quick` prints the first table (about
two minutes). Figures of other machines differ; the ratios are what to look at.
"""

_TARGETS = """## Targets

Ratios of medians of this run, of the two figures beside them (GET of 3 bytes where nothing else is
said).
"""

_WAITS = """## Waits beside others

How long does a small GET of one client take beside others that ask for much? In milliseconds: the
99th percentile from the moment at which they begin, the same when they have been at it for 0.8 s
(both are medians over the rounds), and the longest of all.
"""

_WORKERS = f"""## Workers

What does a command cost in a proxy with several [workers](configuration.md#workers)? GET of 3 bytes,
P=1, {CLIENTS_EACH} clients for each worker. All processes of the proxy share one processor, Redis and the load
another one, so that the workers together are as busy as one process. *Busiest* is the time of the
busiest process by the commands of all: with a processor for each that is what bounds the rate.
[More about it](measured.md#what-several-workers-cost).
"""

_METHOD = """## How it is measured

- *Setup*: one Redis without persistence. Every proxy runs beside it on 127.0.0.1 with one thread, in
  its package's default form. redisproxy runs with everything on: clients authenticate, the admin
  endpoint with its metrics is open, all limits hold.
- *Load*: `redis-benchmark` with one thread. All peers are up at the same time, and each cell is
  measured on one after the other, round after round, so that whatever drifts on the machine hits all
  alike. Figures are medians over the rounds.
- *CPU* is user and system time of the proxy process with all its threads, from the kernel's clock of
  that process (what `/proc/PID/stat` shows, in nanoseconds). What it costs to accept the clients, and
  to authenticate them or shake hands with them, is measured in a run of its own, one command from
  each client, and taken off.
- *No cheating*: after each run Redis is asked how many commands it carried out, so error replies
  cannot pass for speed.
- *No pinning to cores*: Redis, proxy and load are three busy processes; on two cores any fixed
  placement helps one side of a comparison (a proxy alone on a core looks fast beside a Redis that
  shares one with the load), and it did not narrow the spread. Often the load itself limits the rate:
  then a proxy's cost shows in its CPU time and not in the rate.
- *The first command of each client* waits until all are connected. In 500 clients, P=1, each sends
  so many that these are fewer than one in a hundred: the 99th percentile is that of a proxy at work.
  What it costs that many clients to connect at once is in the runs that measure connecting.
- *Workers* run pinned to one processor, unlike all else, in processes of their own. Spread over idle
  processors each would be woken for fewer commands at a time, as any process with less to do is.
- *Compare rows of one cell.* With few clients a process often has one command to do each time it is
  woken, so its cost per command is mostly the kernel's; the busier it is, the more commands share one
  wake-up.
- *TLS*: one ECDSA certificate for all, {version}, {suite}; the uplink is plain.
  `redis-benchmark` leaves Nagle's algorithm on, so that one client's SET of 100 KB over TLS now and
  then waits 40 ms, whichever peer it talks to. Rates over TLS contain the handshakes; CPU figures do
  not.
- *Idle clients*: each peer freshly started with a fresh Redis; connections that asked for one value
  (after `AUTH` where wanted), a hundred at a time, and then kept still; growth of the resident memory
  of the proxy process divided by their number. HAProxy opens a connection to Redis for each client, so
  the limit of open files can allow it fewer.
- *Waits beside others*: a process of its own is the other clients, and one client asks for three bytes
  every 2 ms while they are at it, from the moment at which they begin. What it would have asked while
  an answer was outstanding counts, too: otherwise a wait of two seconds would be one among a thousand.
  It is a GET and not a PING because twemproxy answers PING itself. Redis without a proxy makes all
  replies that were asked for at once, and holds those that are not read (here 400 MB) in its own
  memory. Through redisproxy the first wait is for the first 16 replies of each client, which come on
  the connection that all share; a client whose replies are large has one of its own from then on. A
  proxy is one more busy process on two cores: what it costs to carry all the replies is in the wait.
"""


def markdown(results: Results) -> str:
    """The whole page. Plots stand in the folder `benchmarks` beside it."""
    medians, workers = results.medians(), costs(results.workers)
    parts = [
        _INTRO,
        _machine(results),
        _TARGETS,
        _targets(outcomes(medians, results.idle, results.waited(), workers, cpu_us(results.unmeasured))),
        "## Plots\n",
        *(f"![{title}](benchmarks/{name})\n" for name, title in PLOTS.items()),
        "## Idle clients\n",
        _idle(results),
        _WAITS,
        _waits(results.waited()),
        _WORKERS,
        _workers(workers),
        "## From 1 to 5,000 clients\n\nCPU microseconds per command, GET of 3 bytes, P=1.\n",
        _growth(medians),
        *_grid(medians),
        _METHOD.format(version=TLS_VERSION, suite=CIPHER_SUITE),
        *_failures(results),
    ]
    return "\n".join(parts)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column is text, the others are numbers."""
    rule = ["---"] + ["---:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows)) + "\n"


def answer(outcome: Outcome) -> str:
    """Whether a target was reached, for people."""
    return "not measured" if outcome.reached is None else "yes" if outcome.reached else "**no**"


def _machine(results: Results) -> str:
    told = "; ".join(f"{key} {value}" for key, value in results.machine.items())
    return fill(f"This run took {results.seconds / 60:.1f} minutes on: {told}.", WIDTH, break_long_words=False) + "\n"


def _targets(found: Iterable[Outcome]) -> str:
    rows = [
        (each.label, each.wanted, "-" if each.measured is None else f"{each.measured:.2f}", each.figures, answer(each))
        for each in found
    ]
    return table(("", "target", "measured", "from", "reached"), rows)


def _idle(results: Results) -> str:
    rows = [
        (each.peer, f"{each.clients:,}", f"{each.bytes_per_client / 1024:.2f}", f"{each.at_start_bytes / 2**20:.1f}")
        for each in results.idle
    ]
    return table(("", "clients", "KiB for each", "MiB without clients"), rows)


def _waits(waited: Waited) -> str:
    rows = [
        (text, name, f"{found.p99_ms:,.0f}", f"{found.later_ms:,.0f}", f"{found.max_ms:,.0f}")
        for beside, text in BESIDE.items()
        for name in PEERS
        if (found := waited.get((name, beside)))
    ]
    return table(("beside", "peer", "p99 ms", "later on", "longest"), rows)


def _workers(found: Costs) -> str:
    rows = [
        (f"{number}{', TLS' if tls else ''}", f"{cost.cpu_us:.2f}", f"{cost.busiest_us:.2f}", str(cost.runs))
        for (tls, number), cost in sorted(found.items())
    ]
    return table(("workers", "CPU µs/command", "busiest", "runs"), rows)


def _growth(medians: Medians) -> str:
    names = [name for name in PEERS if name != "direct" and any((name, cell) in medians for cell in GROWTH)]
    names = [name for name in names if not name.endswith("-tls")]
    rows = [
        (f"{cell.clients:,}", *(_text(medians.get((name, cell)), lambda m: m.cpu_us, ".2f") for name in names))
        for cell in GROWTH
    ]
    return table(("clients", *names), rows)


def _grid(medians: Medians) -> Iterable[str]:
    for tls in (False, True):
        names = [name for name in PEERS if name.endswith("-tls") == tls]
        cells = [cell for cell in GRID if any((name, cell) in medians for name in names)]
        for size, command in sorted({(cell.value_bytes, cell.command) for cell in cells}):
            yield f"## {command} of {size_text(size)}{', TLS' if tls else ''}\n"
            chosen = [cell for cell in cells if (cell.value_bytes, cell.command) == (size, command)]
            head = ("", "peer", "commands/s", "CPU µs/command", "p50 ms", "p99 ms", "runs")
            yield table(head, [_row(cell, name, medians) for cell in chosen for name in names])


def _row(cell: Cell, name: str, medians: Medians) -> tuple[str, ...]:
    found = medians.get((name, cell))
    return (
        cell.load,
        name,
        _text(found, lambda m: m.rate_per_s, ",.0f"),
        _text(found, lambda m: m.cpu_us, ".2f"),
        _text(found, lambda m: m.p50_ms, ".2f"),
        _text(found, lambda m: m.p99_ms, ".2f"),
        _text(found, lambda m: float(m.runs), ".0f"),
    )


def _text(found: Median | None, figure: Callable[[Median], float | None], form: str) -> str:
    value = figure(found) if found else None
    return "-" if value is None else format(value, form)


def _failures(results: Results) -> list[str]:
    if not results.failures:
        return []
    return ["## Not measured\n", "\n".join(f"- {failure}" for failure in results.failures) + "\n"]
