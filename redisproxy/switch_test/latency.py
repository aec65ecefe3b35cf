"""How long clients waited for replies: a histogram of all waits, and the longest ones with their commands."""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections import Counter
from typing import Any

from redisproxy.switch_test.connection import Observer

KEPT = 10
STEP = 1.05
"""Each bucket of the histogram is wider than the one before by this factor, which bounds the error of a quantile."""
SMALLEST_S = 1e-5
LOOP_S = 0.01
SLOT_S = 0.02


class Latency:
    """The waits of all busy clients, and the times when this process itself was late.

    @ivar longest: the longest waits: seconds, begin, end, kind of load, command.
    @ivar recent: the longest wait of each fiftieth of a second since the figures were told last: begin, end.
    @ivar late: the longest times when this process did not read its connections: seconds, begin, end.
    """

    def __init__(self) -> None:
        self.longest: list[tuple[float, float, float, str, str]] = []
        self.late: list[tuple[float, float, float]] = []
        self.recent: dict[int, tuple[float, float]] = {}
        self._buckets: Counter[int] = Counter()
        self._count = 0

    def observer(self, kind: str) -> Observer:
        """The observer for connections of clients of this kind."""

        def observe(began: float, ended: float, command: str) -> None:
            took = ended - began
            self._count += 1
            self._buckets[int(math.log(max(took, SMALLEST_S) / SMALLEST_S, STEP))] += 1
            slot = int(ended / SLOT_S)
            if slot not in self.recent or began < self.recent[slot][0]:
                self.recent[slot] = (began, ended)
            if len(self.longest) < KEPT:
                heapq.heappush(self.longest, (took, began, ended, kind, command))
            elif took > self.longest[0][0]:
                heapq.heapreplace(self.longest, (took, began, ended, kind, command))

        return observe

    def quantile_ms(self, share: float) -> float:
        """The time that this share of the waits did not exceed."""
        left = math.ceil(self._count * share)
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                return float(SMALLEST_S * STEP ** (bucket + 1) * 1000)
        return 0.0

    async def watch_loop(self) -> None:
        """Note when this process is late for its own timers, for ever."""
        while True:
            wanted = time.monotonic() + LOOP_S
            await asyncio.sleep(LOOP_S)
            now = time.monotonic()
            if now - wanted > LOOP_S:
                self.late = heapq.nlargest(KEPT * 5, [*self.late, (now - wanted, wanted, now)])

    def told(self) -> dict[str, Any]:
        """All figures, as JSON for the process that started this one."""
        quantiles = {"median": 0.5, "p99": 0.99, "p99.9": 0.999}
        longest = sorted(self.longest, reverse=True)
        recent, self.recent = self.recent, {}
        return {
            "count": self._count,
            "quantiles_ms": {name: round(self.quantile_ms(share), 2) for name, share in quantiles.items()},
            "longest": [
                {"ms": round(took * 1000, 1), "began": began, "ended": ended, "load": kind, "command": command}
                for took, began, ended, kind, command in longest
            ],
            "late": [{"ms": round(took * 1000, 1), "began": began, "ended": ended} for took, began, ended in self.late],
            "recent": list(recent.values()),
        }
