"""C{redisproxy switchover}: starts a switchover, shows its progress, and prints its report."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any, Protocol

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from redisproxy.cli.admin_client import AdminUnreachable
from redisproxy.cli.fleet_answers import peers_lines
from redisproxy.cli.switchover_report import tell, tell_differences
from redisproxy.cli.terminal import console_of

POLL_S = 0.2
INTERRUPTED = 130
HOW_TO_ABORT = "redisproxy switchover --abort"
ABORT = {"cmd": "switchover-abort"}


class Asking(Protocol):
    """Asks the running proxy; HTTP status and answer."""

    def order(self, fields: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Give it a command, and wait for however long that takes.

        @raise SystemExit: there is no answer, which is said.
        """

    def info(self) -> tuple[int, dict[str, Any]]:
        """The contents of /info.json.

        @raise AdminUnreachable: there is no answer at the moment.
        """


def run(asking: Asking, dry_run: bool, back: bool, as_json: bool, command: str = "switchover") -> int:
    """Carry out a switchover; the exit code is 0 when it is done, 1 when it was refused or rolled back.

    @param back: to the server before. @param command: C{failover} has the sentinels fail over.
    """
    flags = {"dry_run": dry_run, "back": back}
    fields = {"cmd": command, **{name: "1" for name, given in flags.items() if given}}
    console = console_of(sys.stderr)
    answer = _answer_of(asking, fields, console, console.is_terminal and not as_json)
    report = answer.get("report", {})
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    elif not answer.get("ok"):
        text = escape(str(report.get("error") or answer.get("error")))
        what = "it is not known where the clients are" if report.get("result") == "unknown" else "not switched"
        console.print(f"[bold red]{what}:[/] {text}", highlight=False)
        tell_differences(report, console)
    else:
        tell(report, console_of(sys.stdout))
        click.echo("".join(f"{line}\n" for line in peers_lines(answer)), nl=False)
    return 0 if answer.get("ok") else 1


def abort(asking: Asking, as_json: bool) -> int:
    """Abort the switchover that runs; the exit code is 0 when everything is undone, 1 when that is too late."""
    answer = asking.order(ABORT)[1]
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    elif answer.get("ok"):
        click.echo(answer["report"].get("error") or "aborted before anything had begun")
    else:
        click.echo(answer.get("error", "no answer"), err=True)
    return 0 if answer.get("ok") else 1


def _answer_of(asking: Asking, fields: dict[str, str], console: Console, watched: bool) -> dict[str, Any]:
    """Ask, and wait for the answer. Ctrl-C does not stop a switchover: who is at a terminal is asked about it."""
    asked = _Asked(asking, fields)
    while True:
        try:
            return _watched(asking, asked, console) if watched else asked.answer()
        except KeyboardInterrupt:
            if not console.is_terminal or not sys.stdin.isatty():
                console.print(f"[bold]it goes on[/]; this aborts it: {HOW_TO_ABORT}", highlight=False)
                sys.exit(INTERRUPTED)
            if click.confirm("Abort it? Else it goes on.", err=True):
                refused = asking.order(ABORT)[1].get("error")
                console.print(f"[bold]{escape(refused)}[/]" if refused else "aborting", highlight=False)


class _Asked:
    """A question whose answer comes in a thread."""

    def __init__(self, asking: Asking, fields: dict[str, str]) -> None:
        self.ended = threading.Event()
        self._answers: list[dict[str, Any]] = []
        self._code: int | str | None = None
        threading.Thread(target=self._ask, args=(asking, fields), daemon=True).start()

    def _ask(self, asking: Asking, fields: dict[str, str]) -> None:
        try:
            self._answers.append(asking.order(fields)[1])
        except SystemExit as error:
            self._code = error.code
        finally:
            self.ended.set()

    def answer(self) -> dict[str, Any]:
        """Wait for it.

        @raise SystemExit: the proxy can't be reached.
        """
        self.ended.wait()
        if self._code is not None:
            sys.exit(self._code)
        return self._answers[0] if self._answers else {"ok": False, "error": "no answer"}


def _watched(asking: Asking, asked: _Asked, console: Console) -> dict[str, Any]:
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("preflight", total=None, left="")
        while not asked.ended.wait(POLL_S):
            if current := _current(asking):
                _show(progress, bar, current)
    return asked.answer()


def _current(asking: Asking) -> dict[str, Any]:
    """How far it is; empty when the proxy does not say, which it may do the next time."""
    try:
        status, info = asking.info()
    except AdminUnreachable:
        return {}
    current: dict[str, Any] | None = info.get("switchover", {}).get("current") if status == 200 else None
    return current or {}


def _show(progress: Progress, bar: TaskID, current: dict[str, Any]) -> None:
    total, left = current.get("total_bytes") or None, current.get("bytes_left")
    text = "" if left is None else f"{left / 1e6:,.1f} MB left"
    if current.get("lag_ms") is not None:
        text += f", {current['lag_ms']:.0f} ms behind"
    done = total - left if total and left is not None and left <= total else None
    if current.get("total_keys"):
        total, done, text = current["total_keys"], current["keys"], copied(current)
    progress.update(bar, description=current["step"], total=total, completed=done, left=text)


def copied(current: dict[str, Any]) -> str:
    """How far a copy is."""
    left = current.get("seconds_left")
    parts = [
        f"{current['keys']:,} of {current['total_keys']:,} keys",
        f"{current['data_bytes'] / 1e6:,.1f} MB",
        f"{current['keys_per_s']:,.0f} keys/s",
        *([f"{left:,.0f} s left"] if left else []),
        f"{current['changed']:,} changed again, {current['lag_ms']:,.0f} ms behind",
        *([f"{current['compared']:,} compared"] if current.get("compared") else []),
    ]
    return ", ".join(parts)
