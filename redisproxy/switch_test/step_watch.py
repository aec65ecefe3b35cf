"""The step of the switchover that runs, for whoever watches a run in a terminal."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable
from typing import Any

POLL_S = 0.25
ANSWER_S = 5.0


class StepWatch:
    """Asks the proxy again and again, in a thread of its own.

    @param tell: called in that thread with the step in words, when there is another one to tell; empty when none runs.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told = ""
        self._ended = threading.Event()

    def begin(self, address: str) -> None:
        """@param address: host:port of the proxy's admin pages."""
        threading.Thread(target=self._watch, args=(address,), daemon=True).start()

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()

    def _watch(self, address: str) -> None:
        while not self._ended.wait(POLL_S):
            text = in_words(current(address))
            if text != self._told:
                self._told = text
                self._tell(text)


def current(address: str) -> dict[str, Any]:
    """What C{/info.json} tells of the switchover that runs; empty when none does, or nobody answers."""
    connection = http.client.HTTPConnection(address, timeout=ANSWER_S)
    try:
        connection.request("GET", "/info.json")
        return json.loads(connection.getresponse().read())["switchover"]["current"] or {}
    except (OSError, ValueError, KeyError, http.client.HTTPException):
        return {}
    finally:
        connection.close()


def in_words(running: dict[str, Any]) -> str:
    """The step, and how much is left to do in it."""
    if not running:
        return ""
    if running.get("total_keys"):
        return f"{running['step']}: {running['keys']:,} of {running['total_keys']:,} keys"
    left = running.get("bytes_left")
    return f"{running['step']}: {left / 1e6:,.1f} MB left" if left else str(running["step"])
