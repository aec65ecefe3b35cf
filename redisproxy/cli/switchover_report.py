"""How C{redisproxy switchover} prints a report: the outcome, the steps, and what the data does not carry, as tables."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

COLUMNS = 100
"""Tables are not wider, whatever the terminal."""


def tell(report: dict[str, Any], console: Console) -> None:
    """Print the report of a switchover that was done, or of a dry run."""
    if report["result"] == "dry_run":
        console.print(f"[green]nothing stands in the way[/] of moving from {report['from']} to {report['to']}")
    else:
        console.print(f"[bold green]switched[/] from {report['from']} to {report['to']}", highlight=False)
        console.print(
            f"clients were held for {report['pause_ms']:.1f} ms; {report['held']} waited,"
            f" the longest {report['longest_wait_ms']:.1f} ms; {sum(report['clients_closed'].values())} closed",
            highlight=False,
        )
        console.print(_steps(report["steps"]))
        if (report.get("way_back") or {}).get("follows"):
            console.print("the old server follows the new one; this goes back: redisproxy switchover --back")
    if report.get("copy"):
        console.print(copied(report), highlight=False)
    tell_differences(report, console)
    for hook in report.get("hooks") or []:
        said = f": {hook['output']}" if hook.get("output") else ""
        console.print(f"the {hook['hook']} hook: {escape(hook['result'] + said)}", highlight=False)
    for text in report["warnings"]:
        console.print(f"[yellow]warning:[/] {escape(text)}", highlight=False)


def copied(report: dict[str, Any]) -> str:
    """What was copied, or would be, and what was compared."""
    copy, verified = report["copy"], report.get("verified")
    if verified is None:
        by_type = "".join(f"\nby type: {each}" for each in copy["by_type"])
        estimated = f", in some {copy['seconds']:.0f} s" if "seconds" in copy else ""
        return f"to copy: {copy['keys']:,} keys of {copy['data_bytes'] / 1e6:,.1f} MB{estimated}{by_type}"
    return (
        f"{copy['keys']:,} keys were copied, {copy['rest']:,} of them again while clients were held;"
        f" {verified['compared']:,} were compared ({verified['depth']}), and are the same"
    )


def _steps(steps: list[dict[str, Any]]) -> Table:
    table = Table("step", "ms", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for step in steps:
        table.add_row(step["name"], f"{step['ms']:,.1f}")
    return table


def tell_differences(report: dict[str, Any], console: Console) -> None:
    """Print what clients will feel of the new server although the data is the same; nothing if there is nothing."""
    rows = report.get("differences") or []
    if not rows:
        return
    left = sum(not row["carried"] for row in rows)
    console.print(
        f"[yellow]the data does not carry this:[/] {len(rows)} difference{'' if len(rows) == 1 else 's'}"
        f" that clients can feel, {len(rows) - left} taken along (switchover.carry)",
        highlight=False,
        width=min(console.width, COLUMNS),
    )
    table = Table("what", "old server", "new server", "effect", "carried", box=None, pad_edge=False)
    for row in rows:
        what = f"{row['kind']} {row['name']}" if row["kind"] not in ("setting", "commands") else row["name"]
        cells = what, row["old"], row["new"], row["effect"], "yes" if row["carried"] else "no"
        table.add_row(*map(escape, cells), style="" if row["carried"] else "yellow")
    console.print(table, width=min(console.width, COLUMNS))
