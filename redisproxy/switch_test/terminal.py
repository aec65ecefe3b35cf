"""What a switch-test shows in a terminal: progress while it runs, then the verdict."""

from __future__ import annotations

import json
import signal
import sys
from types import FrameType
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from redisproxy.switch_test.options import Options
from redisproxy.switch_test.processes import CouldNotRun
from redisproxy.switch_test.step_watch import StepWatch
from redisproxy.switch_test.switch_test import switch_test
from redisproxy.switch_test.timeline import in_words

PASS, FAIL, COULD_NOT_RUN, INTERRUPTED = 0, 1, 2, 130
CODES = {"pass": PASS, "fail": FAIL, "interrupted": INTERRUPTED}
COLOURS = {"pass": "green", "fail": "red", "interrupted": "yellow"}
STEPS_MS = (2, 5, 10, 20, 50, 100, 250, 500, 1000)
BAR = 40
SHOWN_UPGRADES = 50
SLOWLY_S = 1.0
"""With so much time between two switchovers there is time to read a line of each."""


def run(options: Options, as_json: bool) -> int:
    """Run and show the result; the exit code is 0 for pass, 1 fail, 2 could not run, 130 interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        result = switch_test(options, lambda _: None) if as_json else _watched(options)
    except CouldNotRun as error:
        click.echo(
            json.dumps({"ok": False, "error": str(error)}) if as_json else f"could not run: {error}", err=not as_json
        )
        return COULD_NOT_RUN
    except KeyboardInterrupt:
        click.echo("interrupted before anything was started", err=True)
        return INTERRUPTED
    if as_json:
        click.echo(json.dumps(result))
    else:
        _tell(result, Console(highlight=False, soft_wrap=not sys.stdout.isatty()))
    return CODES[result["verdict"]]


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _watched(options: Options) -> dict[str, Any]:
    console = Console(stderr=True, highlight=False)
    console.print(f"seed {options.seed}")
    columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=options.wanted + options.upgrades, text="")
        shown = _Shown(progress, bar, options.between_s >= SLOWLY_S)
        try:
            return switch_test(options, shown.show)
        finally:
            shown.watch.end()


class _Shown:
    """The progress of a run. @param each: a line for each switchover. @ivar watch: of the step that runs."""

    def __init__(self, progress: Progress, bar: TaskID, each: bool) -> None:
        self._progress, self._bar, self._each = progress, bar, each
        self._text = self._admin = ""
        self._told = 0
        self.watch = StepWatch(self._step)

    def show(self, result: dict[str, Any]) -> None:
        console = self._progress.console
        if console.is_terminal and result["admin"] and not self._admin:
            self._admin = result["admin"]
            console.print(f"watch it in a browser: [bold]http://{self._admin}/[/]")
            self.watch.begin(self._admin)
        for pause in result["pauses_ms"][self._told :] if self._each else ():
            self._told += 1
            kind = "failover" if result["failovers"] else "switchover"
            console.print(f"{kind} {self._told}: the clients were held for {pause:.1f} ms")
        self._text = _text(result)
        done = result["switchovers"] + result["failovers"] + result["upgrades"]
        self._progress.update(self._bar, completed=done, text=escape(self._text))

    def _step(self, step: str) -> None:
        self._progress.update(self._bar, text=escape(step or self._text))


def _text(result: dict[str, Any]) -> str:
    if result["doing"] != "moving":
        return str(result["doing"])
    pause, upgrade = result["pause_ms"], result["upgrade_ms"]
    told = [f"pause {pause['median']:.0f}, p99 {pause['p99']:.0f} ms"] if pause else []
    told += [f"upgrade {upgrade['median']:.0f} ms"] if upgrade else []
    rate = result["commands"] / max(result["elapsed_s"], 0.1)
    return "; ".join([*told, f"{rate:,.0f} writes/s"])


def _tell(result: dict[str, Any], console: Console) -> None:
    _tell_pauses(result, console)
    _tell_upgrades(result, console)
    upgrades = f" and {result['upgrades']} of {result['upgrades_wanted']} upgrades" if result["upgrades_wanted"] else ""
    kind = "failovers" if result["options"]["failovers"] else "switchovers"
    moved = result[kind]
    console.print(
        f"{moved} of {result['wanted']} {kind}{upgrades} in {result['elapsed_s']:.0f} s:"
        f" {result['commands']:,} checked writes, {result['delivered']:,} jobs delivered,"
        f" {result['idle_checked']:,} looks at idle clients"
    )
    if result["options"]["kill"]:
        console.print(f"the old server was dead before the switchover was over {result['old_gone_at_once']} times")
    if result["longest"]:
        waits = ", ".join(f"{name} {ms:.1f}" for name, ms in result["wait_ms"].items())
        console.print(f"waits for a reply in ms: {waits}, longest {result['longest_ms']:.0f}")
        console.print(f"  the longest: {escape(in_words(result['longest'][0]))}")
    for fault in result["faults"]:
        console.print(f"[red]{escape(fault)}[/]")
    _tell_verdict(result, console)


def _tell_pauses(result: dict[str, Any], console: Console) -> None:
    pauses, low = result["pauses_ms"], 0
    table = Table("pause in ms", "times", "", box=None, pad_edge=False)
    table.columns[0].justify = table.columns[1].justify = "right"
    for high in (*STEPS_MS, float("inf")):
        count = sum(1 for pause in pauses if low <= pause < high)
        if count:
            label = f"{low} to {high}" if high != float("inf") else f"{low} and more"
            table.add_row(label, str(count), "#" * max(1, round(BAR * count / len(pauses))))
        low = int(high) if high != float("inf") else low
    if pauses:
        console.print(table)
        console.print("pauses in ms: " + ", ".join(f"{name} {ms:.1f}" for name, ms in result["pause_ms"].items()))


def _tell_upgrades(result: dict[str, Any], console: Console) -> None:
    if not result["upgrades"]:
        return
    names = ("upgrade", "took ms", "hand over ms", "clients", "stayed", "longest wait ms", "load late ms")
    table = Table(*names, box=None, pad_edge=False)
    for column in table.columns:
        column.justify = "right"
    for number, each in list(enumerate(result["upgrade_reports"], 1))[-SHOWN_UPGRADES:]:
        keys = ("ms", "hand_over_ms", "clients", "stayed", "longest_wait_ms", "load_late_ms")
        table.add_row(str(number), *(f"{each[key]:.0f}" for key in keys))
    console.print(table)
    for what, key in (("upgrades in ms", "upgrade_ms"), ("longest wait in each in ms", "upgrade_wait_ms")):
        console.print(f"{what}: " + ", ".join(f"{name} {ms:.1f}" for name, ms in result[key].items()))


def _tell_verdict(result: dict[str, Any], console: Console) -> None:
    verdict = result["verdict"]
    if verdict == "fail":
        more = result["fault_count"] - len(result["faults"])
        console.print(f"{f'{more} faults more; ' if more > 0 else ''}logs of all processes: {result['logs']}")
    console.print(f"again: {result['repeat']}")
    console.print(f"[bold {COLOURS[verdict]}]{verdict}[/] (seed {result['seed']})")
