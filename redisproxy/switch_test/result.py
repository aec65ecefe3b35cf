"""The result of a run so far, in the form that C{--json} prints."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from redisproxy.switch_test.options import Options
from redisproxy.switch_test.timeline import Timeline
from redisproxy.switch_test.upgrades import Upgrade

LONGEST = 5
# Keys of the result, and what the load calls them.
_LOAD_KEYS = {"commands": "done", "delivered": "delivered", "conflicts": "conflicts", "idle_checked": "idle_checked"}


@dataclass
class RunState:
    """The state of a run, without the figures of its clients.

    @ivar folder: where the logs are. @ivar began: in seconds of the monotonic clock. @ivar doing: what it does now.
    @ivar admin: host:port of the proxy's admin pages; empty before it runs.
    @ivar reports: of all switchovers so far. @ivar upgrades: all that have taken place.
    @ivar faults: those found without the clients.
    @ivar gone: how often the old server was dead before the switchover was over.
    """

    options: Options
    folder: Path
    began: float = field(default_factory=time.monotonic)
    doing: str = "starting"
    admin: str = ""
    reports: list[dict[str, Any]] = field(default_factory=list)
    upgrades: list[Upgrade] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    gone: int = 0
    timeline: Timeline = field(default_factory=Timeline)


def result_of(run: RunState, load: Mapping[str, Any], interrupted: bool = False) -> dict[str, Any]:
    """The result so far; it is C{ok} as long as there is no fault and nobody has interrupted it.

    @param load: what the load printed last; empty before that.
    """
    faults = [*run.faults, *load.get("faults", [])]
    return {
        "ok": not faults and not interrupted,
        "verdict": "fail" if faults else "interrupted" if interrupted else "pass",
        "seed": run.options.seed,
        "doing": run.doing,
        "admin": run.admin,
        "switchovers": 0 if run.options.failovers else len(run.reports),
        "failovers": len(run.reports) if run.options.failovers else 0,
        "wanted": run.options.wanted,
        "elapsed_s": round(time.monotonic() - run.began, 1),
        **_pauses(run.reports),
        **_upgrades(run, load.get("waits", {})),
        **{key: load.get(name, 0) for key, name in _LOAD_KEYS.items()},
        "old_gone_at_once": run.gone,
        **_waits(run.timeline, load.get("waits", {})),
        "faults": faults,
        "fault_count": len(run.faults) + load.get("fault_count", 0),
        "repeat": repeat(run.options),
        "logs": str(run.folder) if faults else "",
        "last_report": run.reports[-1] if faults and run.reports else None,
        "options": asdict(run.options),
    }


def _pauses(reports: list[dict[str, Any]]) -> dict[str, Any]:
    pauses_ms = [report["pause_ms"] for report in reports]
    return {"pause_ms": distribution(pauses_ms), "pauses_ms": pauses_ms, "steps_ms": _steps(reports)}


def _upgrades(run: RunState, waits: Mapping[str, Any]) -> dict[str, Any]:
    told = [each.told(waits.get("late", [])) for each in run.upgrades]
    return {
        "upgrades": len(told),
        "upgrades_wanted": run.options.upgrades,
        "upgrade_ms": distribution([each["ms"] for each in told]),
        "upgrade_wait_ms": distribution([each["longest_wait_ms"] for each in told]),
        "upgrade_reports": told,
    }


def _waits(timeline: Timeline, waits: Mapping[str, Any]) -> dict[str, Any]:
    """How long busy clients waited for replies, and what went on during the longest waits."""
    longest = [timeline.explain(wait, waits["late"]) for wait in waits.get("longest", [])[:LONGEST]]
    return {
        "wait_ms": waits.get("quantiles_ms", {}),
        "longest_ms": longest[0]["ms"] if longest else 0,
        "longest": longest,
    }


def _steps(reports: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """How long each step of the switchovers took."""
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
    """The command line that repeats this run."""
    words = ["redisproxy switch-test"]
    for each in fields(options):
        value = getattr(options, each.name)
        name = "--" + each.name.replace("_", "-")
        if each.name != "seed" and value == each.default:
            continue
        words.append(name if value is True else f"{name} {value}")
    return " ".join(words)
