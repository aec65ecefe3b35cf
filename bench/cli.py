"""The command line of the benchmark."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console
from rich.table import Table

from bench import results as stored
from bench.cells import full_plan, quick_plan
from bench.errors import BenchError
from bench.measure import Run
from bench.peers import PEERS, ROOT
from bench.processes import raise_file_limit
from bench.report import answer, markdown
from bench.results import Results
from bench.targets import outcomes
from bench.unmeasured import cpu_us
from bench.workers import costs

_JSON = Path(tempfile.gettempdir()) / "redisproxy-bench.json"
_PATH = click.Path(dir_okay=False, path_type=Path)
# A table is kept whole where the output is no terminal.
_console = Console() if sys.stdout.isatty() else Console(width=110)


@click.command()
@click.option("--quick", is_flag=True, help="Only what the targets need, in about two minutes.")
@click.option("--peers", default=",".join(PEERS), show_default=True, help="Which peers, separated by commas.")
@click.option("--budget-s", type=click.FloatRange(5), help="Seconds after which no other measurement is started.")
@click.option("--json", "json_path", type=_PATH, default=_JSON, show_default=True, help="Where raw numbers go.")
@click.option("--render", type=_PATH, help="Measure nothing: take the raw numbers of this file.")
@click.option(
    "--docs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write benchmarks.md and its plots here (full form with all peers: docs/).",
)
def main(
    quick: bool, peers: str, budget_s: float | None, json_path: Path, render: Path | None, docs: Path | None
) -> None:
    """Measure redisproxy beside Redis without a proxy, HAProxy and twemproxy."""
    names = _names(peers)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        found = stored.load(render) if render else _measure(quick, names, budget_s, json_path)
    except (BenchError, OSError) as error:
        raise click.ClickException(str(error)) from error
    _print(found)
    whole = not quick and not render and set(names) == set(PEERS)
    if docs or whole:
        _write(found, docs or ROOT / "docs")
    # A peer that fails at something is a finding, and on the page; redisproxy failing is a fault.
    sys.exit(1 if any("redisproxy" in str(failure) for failure in found.failures) else 0)


def _names(peers: str) -> list[str]:
    names = [name.strip() for name in peers.split(",") if name.strip()]
    unknown = [name for name in names if name not in PEERS]
    if unknown or not names:
        raise click.BadParameter(f"unknown: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    return names


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _measure(quick: bool, names: list[str], budget_s: float | None, json_path: Path) -> Results:
    plan = quick_plan(budget_s) if quick else full_plan(budget_s)
    with tempfile.TemporaryDirectory(prefix="redisproxy-bench-") as folder:
        run = Run(plan, names, Path(folder), raise_file_limit(), _say)
        found = run.execute()
    found.save(json_path)
    _say(f"{found.seconds:.0f} s; raw numbers in {json_path}")
    return found


def _say(text: str) -> None:
    _console.print(text, style="dim", markup=False, highlight=False)


def _print(found: Results) -> None:
    shown = Table("", "target", "measured", "from", "reached", title="Ratios of medians")
    figures = cpu_us(found.unmeasured)
    for each in outcomes(found.medians(), found.idle, found.waited(), costs(found.workers), figures):
        measured = "-" if each.measured is None else f"{each.measured:.2f}"
        shown.add_row(each.label, each.wanted, measured, each.figures, answer(each).replace("*", ""))
    _console.print(shown)


def _write(found: Results, docs: Path) -> None:
    from bench.plots import draw

    draw(found, docs / "benchmarks")
    (docs / "benchmarks.md").write_text(markdown(found))
    _say(f"written: {docs / 'benchmarks.md'}")
