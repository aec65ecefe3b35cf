"""The result of a run, as it stands, in the form in which C{--json} prints it."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from redisproxy.switch_test.options import Options

if TYPE_CHECKING:
    from redisproxy.switch_test.run import Run

LONGEST = 5


def result_of(run: Run, interrupted: bool = False) -> dict[str, Any]:
    """Where it stands. It is `ok` only with all switchovers done and nothing found."""
    load = run.load.state if run.load is not None else {}
    waits = load.get("waits", {})
    faults = [*run.faults, *load.get("faults", [])]
    pauses_ms = [report["pause_ms"] for report in run.reports]
    longest = [run.timeline.explain(wait, waits["late"]) for wait in waits.get("longest", [])[:LONGEST]]
    return {
        "ok": not faults and not interrupted,
        "verdict": "fail" if faults else "interrupted" if interrupted else "pass",
        "seed": run.options.seed,
        "doing": run.doing,
        "switchovers": len(run.reports),
        "wanted": run.options.switchovers,
        "elapsed_s": round(time.monotonic() - run.began, 1),
        "pause_ms": distribution(pauses_ms),
        "pauses_ms": pauses_ms,
        "steps_ms": _steps(run.reports),
        "commands": load.get("done", 0),
        "delivered": load.get("delivered", 0),
        "conflicts": load.get("conflicts", 0),
        "idle_checked": load.get("idle_checked", 0),
        "old_gone_at_once": run.gone,
        "wait_ms": waits.get("quantiles_ms", {}),
        "longest_ms": longest[0]["ms"] if longest else 0,
        "longest": longest,
        "faults": faults,
        "fault_count": len(run.faults) + load.get("fault_count", 0),
        "repeat": repeat(run.options),
        "logs": str(run.folder) if faults else "",
        "last_report": run.reports[-1] if faults and run.reports else None,
        "options": asdict(run.options),
    }


def _steps(reports: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """For each step of a switchover, how long it took."""
    times: dict[str, list[float]] = {}
    for step in (each for report in reports for each in report.get("steps", [])):
        times.setdefault(step["name"], []).append(step["ms"])
    return {name: distribution(values) for name, values in times.items()}


def distribution(values: list[float]) -> dict[str, float]:
    """min, median, p99 and max; empty without values."""
    if not values:
        return {}
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, -(-99 * len(ordered) // 100) - 1)]
    found = {"min": ordered[0], "median": statistics.median(ordered), "p99": p99, "max": ordered[-1]}
    return {name: round(value, 2) for name, value in found.items()}


def repeat(options: Options) -> str:
    """The command that does the same again."""
    words = ["redisproxy switch-test"]
    for each in fields(options):
        value = getattr(options, each.name)
        name = "--" + each.name.replace("_", "-")
        if each.name != "seed" and value == each.default:
            continue
        words.append(name if value is True else f"{name} {value}")
    return " ".join(words)
