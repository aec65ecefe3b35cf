"""C{redisproxy switchover}: starts a switchover, shows its progress, and prints its report."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from redisproxy.cli.switchover_report import tell, tell_differences

POLL_S = 0.2
Call = Callable[[str, "dict[str, str] | None"], tuple[int, dict[str, Any]]]


def run(call: Call, dry_run: bool, as_json: bool) -> int:
    """Carry out a switchover; the exit code is 0 when it is done, 1 when it was refused or rolled back.

    @param call: asks the running proxy; takes path and fields, returns HTTP status and answer.
    """
    fields = {"cmd": "switchover", **({"dry_run": "1"} if dry_run else {})}
    console = Console(stderr=True)
    answer = _watched(call, fields, console) if console.is_terminal and not as_json else call("/cmd/", fields)[1]
    report = answer.get("report", {})
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    elif not answer.get("ok"):
        text = escape(str(report.get("error") or answer.get("error")))
        console.print(f"[bold red]not switched:[/] {text}", highlight=False)
        tell_differences(report, console)
    else:
        tell(report, Console())
    return 0 if answer.get("ok") else 1


def _watched(call: Call, fields: dict[str, str], console: Console) -> dict[str, Any]:
    answers: list[dict[str, Any]] = []
    ended = threading.Event()

    def ask() -> None:
        try:
            answers.append(call("/cmd/", fields)[1])
        finally:
            ended.set()

    threading.Thread(target=ask, daemon=True).start()
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("preflight", total=None, left="")
        while not ended.wait(POLL_S):
            status, info = call("/info.json", None)
            current = info.get("switchover", {}).get("current") if status == 200 else None
            if current:
                _show(progress, bar, current)
    return answers[0] if answers else {"ok": False, "error": "no answer"}


def _show(progress: Progress, bar: TaskID, current: dict[str, Any]) -> None:
    total, left = current.get("total_bytes") or None, current.get("bytes_left")
    text = "" if left is None else f"{left / 1e6:,.1f} MB left"
    if current.get("lag_ms") is not None:
        text += f", {current['lag_ms']:.0f} ms behind"
    done = total - left if total and left is not None and left <= total else None
    progress.update(bar, description=current["step"], total=total, completed=done, left=text)
