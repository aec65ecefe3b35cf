"""Figures of a copy while it runs: how much is done, how fast, how long it takes yet. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from redisproxy.copying.interface import CopyProgress

WINDOW_S = 5.0
SAMPLES = 50
SMOOTHING = 0.3
FIRST_GUESS_S = 0.0001
"""How long one changed key takes, before that is known."""


class CopyFigures:
    """Counts.

    @param now: the time in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._round_keys, self._round_s = 1.0, FIRST_GUESS_S
        self._now = now
        self._keys = self._total = self._bytes = self._passes = 0
        self._samples: deque[tuple[float, int]] = deque(maxlen=SAMPLES)

    def pass_begins(self, total: int) -> None:
        """A pass over all keys begins, about so many."""
        self._passes += 1
        self._keys, self._total = 0, total
        self._samples.clear()
        self._samples.append((self._now(), 0))

    def copied(self, keys: int, sent_bytes: int) -> None:
        """So many keys of the pass were copied; so many bytes were sent to the new server since the beginning."""
        self._keys += keys
        self._bytes = sent_bytes
        if self._now() - self._samples[-1][0] >= WINDOW_S / SAMPLES:
            self._samples.append((self._now(), self._keys))

    def changed_took(self, keys: int, seconds: float) -> None:
        """So many changed keys took so long."""
        if keys:
            self._round_keys += SMOOTHING * (keys - self._round_keys)
            self._round_s += SMOOTHING * (seconds - self._round_s)

    @property
    def key_s(self) -> float:
        """How long one changed key takes, in seconds, of late.

        Of several rounds together: each takes some time however few its keys are.
        """
        return self._round_s / self._round_keys

    def progress(self, changed: int, slow_s: float = 0.0, compared: int = 0) -> CopyProgress:
        """The figures now.

        @param changed: how many keys wait to be copied again. @param slow_s: how long the slow ones of them take.
        @param compared: how many keys were compared.
        """
        rate = self._rate()
        left = max(0, self._total - self._keys)
        return CopyProgress(
            keys=self._keys,
            total_keys=max(self._total, self._keys),
            data_bytes=self._bytes,
            keys_per_s=round(rate, 1),
            seconds_left=round(left / rate, 1) if rate else None,
            changed=changed,
            lag_ms=round((changed * self.key_s + slow_s) * 1000, 1),
            passes=self._passes,
            compared=compared,
        )

    def _rate(self) -> float:
        if not self._samples:
            return 0.0
        began, keys = self._samples[0]
        seconds = self._now() - began
        return (self._keys - keys) / seconds if seconds > 0 else 0.0
