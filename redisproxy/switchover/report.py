"""What a switchover tells of itself, while it runs and in the end, and how it fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

Report = dict[str, Any]


class SwitchoverFailed(Exception):
    """It did not take place, and everything is as before unless C{str()} says what is not.

    @ivar refused: the preflight said no; nothing has been touched.
    @ivar late: a deadline was not met.
    """

    def __init__(self, message: str, *, refused: bool = False, late: bool = False) -> None:
        super().__init__(message)
        self.refused = refused
        self.late = late


class Journal:
    """Keeps the report of one switchover, and logs its steps.

    @ivar report: what has happened so far, and in the end. @ivar progress: how far the step is that runs.
    """

    log = Logger(namespace="redisproxy.switchover")

    def __init__(self, old: str, new: str, clock: IReactorTime) -> None:
        self._clock = clock
        self._began = clock.seconds()
        self.progress: Report = {}
        self.report: Report = {
            "from": old,
            "to": new,
            "result": "running",
            "error": "",
            "step": "preflight",
            "steps": [],
            "warnings": [],
            "pause_ms": 0.0,
            "held": 0,
            "longest_wait_ms": 0.0,
            "dropped": [],
            "old_offset": None,
            "new_offset": None,
        }

    def current(self) -> Report:
        """What the pages show while it runs."""
        elapsed_ms = round((self._clock.seconds() - self._began) * 1000)
        shown = {name: self.report[name] for name in ("step", "from", "to")}
        return {**shown, "elapsed_ms": elapsed_ms, **self.progress}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """While this is entered, the switchover is at this step."""
        began = self._clock.seconds()
        self.report["step"] = name
        self.log.info("switchover: {name}", name=name)
        try:
            yield
        finally:
            took_ms = round((self._clock.seconds() - began) * 1000, 2)
            self.report["steps"].append({"name": name, "ms": took_ms})

    def warn(self, texts: Iterable[str]) -> None:
        """Tell an operator."""
        for text in texts:
            self.report["warnings"].append(text)
            self.log.warn("switchover: {text}", text=text)

    def confess(self, text: str) -> None:
        """Say what could not be undone."""
        self.report["error"] += f"\n{text}"
        self.log.error("switchover: {text}", text=text)
