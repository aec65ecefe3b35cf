"""Collects what clients have seen that is not a right reply; a round says afterwards which kinds it explains."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

LOST = "lost"
"""A client was disconnected with commands in flight."""
DROPPED = "dropped"
"""A client was disconnected with nothing in flight."""
UNAVAILABLE = "unavailable"
"""A command got an error that says that the server can't be had; it was not carried out."""
WRONG = "wrong"
"""A reply that is not right, a client that waits for ever: never allowed."""

ERRORS = ("MASTERDOWN", "NOREPLICAS", "LOADING", "EXECABORT", "READONLY", "MISCONF")


@dataclass(frozen=True)
class Incident:
    """One thing that a client has seen. C{rough}: the client's own way to the proxy has faults."""

    kind: str
    text: str
    rough: bool


@dataclass
class Incidents:
    """All incidents since the last look, and how many of each kind there have been. For any thread."""

    total: dict[str, int] = field(default_factory=dict)
    _open: list[Incident] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, text: str, rough: bool = False) -> None:
        """Add an incident."""
        with self._lock:
            self.total[kind] = self.total.get(kind, 0) + 1
            self._open.append(Incident(kind, f"{time.strftime('%H:%M:%S')} {text}", rough))

    def judge(self, allowed: frozenset[str], rough: frozenset[str] = frozenset()) -> list[str]:
        """What has happened since the last call and is not explained.

        @param rough: what else clients on a rough road may have seen.
        """
        with self._lock:
            seen, self._open = self._open, []
        return [each.text for each in seen if each.kind not in (allowed | rough if each.rough else allowed)]
