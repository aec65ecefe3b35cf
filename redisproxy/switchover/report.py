"""The report of a switchover: its steps and how long they took, warnings, and the progress of the step that runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

if TYPE_CHECKING:
    from redisproxy.config import Address

Report = dict[str, Any]


class SwitchoverReport:
    """The report of one switchover.

    @ivar fields: the report as admin pages and the CLI show it.
    @ivar progress: figures of the step that runs, shown in the meantime.
    """

    log = Logger(namespace="redisproxy.switchover")

    def __init__(self, clock: IReactorTime, old: Address, new: Address) -> None:
        self._clock = clock
        self._began = clock.seconds()
        self.progress: Report = {}
        self.fields: Report = {
            "from": str(old),
            "to": str(new),
            "result": "running",
            "error": "",
            "dry_run": False,
            "step": "preflight",
            "steps": [],
            "warnings": [],
            "differences": [],
            "carried": [],
            "reason": "",
            "way_back": None,
            "hooks": [],
            "pause_ms": 0.0,
            "held": 0,
            "longest_wait_ms": 0.0,
            "dropped": [],
            "old_offset": None,
            "new_offset": None,
        }

    def current(self) -> Report:
        """What the admin pages show while the switchover runs."""
        elapsed_ms = round((self._clock.seconds() - self._began) * 1000)
        shown = {name: self.fields[name] for name in ("step", "from", "to", "steps", "warnings")}
        return {**shown, "elapsed_ms": elapsed_ms, **self.progress}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Note a step, and how long it takes."""
        began = self._clock.seconds()
        self.fields["step"] = name
        self.log.info("switchover: {name}", name=name)
        try:
            yield
        finally:
            took_ms = round((self._clock.seconds() - began) * 1000, 2)
            self.fields["steps"].append({"name": name, "ms": took_ms})

    def begin(self, how: str, dry_run: bool) -> None:
        """It begins. @param how: in a word or two."""
        self.fields["dry_run"] = dry_run
        what, reason = "a dry run" if dry_run else "moving", self.fields["reason"]
        way = f"from {self.fields['from']} to {self.fields['to']} ({how})"
        why = f", because {reason}" if reason else ""
        self.log.info("switchover: {what} {way}{why}", what=what, way=way, why=why)

    def failed(self, error: str, refused: bool) -> bool:
        """It can't go on, and what was done is undone now. @return: whether it is refused, and nothing was done."""
        refused = refused or self.fields["dry_run"]
        self.fields["error"] = error
        if not refused:
            self.log.error(
                "switchover: failed at the step {step}, and is undone: {error}", step=self.fields["step"], error=error
            )
        return refused

    def warn(self, texts: Iterable[str]) -> None:
        """Add warnings, which the log gets, too."""
        for text in texts:
            self.fields["warnings"].append(text)
            self.log.warn("switchover: {text}", text=text)

    def not_undone(self, text: str) -> None:
        """Add to the error what a rollback could not undo, and what to do about it."""
        self.fields["error"] += f"\n{text}"
        self.log.error("switchover: {text}", text=text)
