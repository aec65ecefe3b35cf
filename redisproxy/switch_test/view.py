"""What a switch-test shows: progress while it runs, then the verdict."""

from __future__ import annotations

import json
import signal
from types import FrameType
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from redisproxy.switch_test.options import Options
from redisproxy.switch_test.processes import CouldNotRun
from redisproxy.switch_test.run import switch_test

PASS, FAIL, COULD_NOT_RUN, INTERRUPTED = 0, 1, 2, 130


def run(options: Options, as_json: bool) -> int:
    """Run and tell; the exit code: 0 pass, 1 fail, 2 could not run."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        result = switch_test(options, lambda _: None) if as_json else _watched(options)
    except CouldNotRun as error:
        click.echo(
            json.dumps({"ok": False, "error": str(error)}) if as_json else f"could not run: {error}", err=not as_json
        )
        return COULD_NOT_RUN
    except KeyboardInterrupt:
        click.echo("interrupted; everything it started has ended", err=True)
        return INTERRUPTED
    if as_json:
        click.echo(json.dumps(result))
    else:
        _tell(result, Console())
    return PASS if result["ok"] else FAIL


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _watched(options: Options) -> dict[str, Any]:
    columns = (
        TextColumn("switchovers"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("", total=options.switchovers, text="")

        def show(result: dict[str, Any]) -> None:
            rate = result["commands"] / max(result["elapsed_s"], 0.1)
            median = result["pause_ms"].get("median", 0.0)
            text = f"{rate:,.0f} writes/s, median pause {median:.1f} ms"
            progress.update(bar, completed=result["switchovers"], text=text)

        return switch_test(options, show)


def _tell(result: dict[str, Any], console: Console) -> None:
    table = Table("pause", "ms", box=None)
    for name, value in result["pause_ms"].items():
        table.add_row(name, f"{value:.1f}")
    console.print(table)
    console.print(
        f"{result['switchovers']} switchovers in {result['elapsed_s']:.0f} s, {result['commands']:,} checked writes,"
        f" {result['delivered']:,} jobs delivered, longest wait of a client {result['longest_ms']:.0f} ms",
        highlight=False,
    )
    for fault in result["faults"]:
        console.print(f"[red]{escape(fault)}[/]", highlight=False)
    console.print("[bold green]pass[/]" if result["ok"] else "[bold red]fail[/]")
