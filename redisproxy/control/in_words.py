"""What the log tells of a move or an upgrade that has ended: one sentence for whoever reads it at night."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer

LEVELS = {"done": "info", "dry_run": "info", "refused": "warn", "rolled_back": "error", "unknown": "critical"}
"""At which level of the log a result is told."""


def move_in_words(report: Answer) -> str:
    """What came of a switchover or a failover, where the clients are now, how long they were held, and what took time.

    @param report: see C{switchover.report}.
    """
    dry = "dry run of a " if report.get("dry_run") else ""
    what = f"{dry}{report.get('kind', 'switchover')} from {report['from']} to {report['to']}"
    steps = ", ".join(f"{each['name']} {each['ms']:.0f} ms" for each in report.get("steps", ()))
    parts = [f"{what}: {_result(report)}", _held(report), f"steps: {steps}" if steps else ""]
    return "; ".join(part for part in parts if part)


def _result(report: Answer) -> str:
    error = str(report.get("error", "")).replace("\n", "; ")
    if report["result"] == "done":
        return f"done, clients are at {report['to']}"
    if report["result"] == "dry_run":
        return "nothing stands in the way"
    if report["result"] == "refused":
        return f"refused, nothing has changed: {error}"
    if report["result"] == "rolled_back":
        return f"rolled back at the step {report.get('step')}, clients stay at {report['from']}: {error}"
    return f"it is not known where the clients are, see both servers: {error}"


def _held(report: Answer) -> str:
    if not report.get("pause_ms"):
        return ""
    closed = sum((report.get("clients_closed") or {}).values())
    return (
        f"clients were held for {report['pause_ms']:.1f} ms, {report.get('held', 0)} waited, the longest"
        f" {report.get('longest_wait_ms', 0):.1f} ms, {closed} were closed"
    )


def upgrade_in_words(report: Answer) -> str:
    """What came of an upgrade. @param report: what is answered to it."""
    if not report["ok"]:
        lost = f"; {report['lost']} clients were lost" if report.get("lost") else ""
        return f"upgrade: not done, this process goes on: {report.get('error')} (step {report.get('step')}){lost}"
    return (
        f"upgrade from {report['from']} to {report['to']}: process {report['pid']} is in charge after"
        f" {report['ms']:.0f} ms, {report['clients']} clients were handed over, {report['stayed']} stay here"
    )
