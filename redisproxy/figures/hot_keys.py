"""Which keys are used most, and which replies are the largest: found by looking at one of so many commands.

Off by default. The queue of an uplink connection calls L{HotKeys.note}. Keys are counted by a sketch of Apache
DataSketches, which is bounded in memory and knows how far it may be wrong; so is all else here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any

from redisproxy.figures.families import FAMILIES
from redisproxy.figures.keys import key_of
from redisproxy.figures.sketches import Sketches
from redisproxy.figures.slow_log import KEY_BYTES, name_of, shown
from redisproxy.resp.command_beginning import beginning_of

if TYPE_CHECKING:
    from redisproxy.forwarding.twins import Entry, Flow

WINDOW_S = 60
"""What is told is of the window that has begun last, and of the one before it."""
LOOKED_AT_BYTES = 1024
"""Of a command."""


@dataclass(frozen=True)
class HotKey:
    """One key. @ivar commands_per_s: estimated, of this family."""

    key: str
    family: str
    commands_per_s: float


@dataclass(frozen=True)
class BigReply:
    """The largest sampled reply to one command with one key. @ivar time: when it came, in seconds since 1970."""

    bytes: int
    command: str
    key: str
    time: float


@dataclass(frozen=True)
class Hot:
    """What was found.

    @ivar sample: one of so many commands was looked at; 0 while none is. @ivar sampled: how many were, of late.
    @ivar commands_per_s: of all keys and of none, estimated. @ivar keys: the most used first.
    @ivar replies: the largest first.
    """

    sample: int = 0
    sampled: int = 0
    commands_per_s: float = 0.0
    keys: tuple[HotKey, ...] = ()
    replies: tuple[BigReply, ...] = ()


@dataclass
class _Window:
    """What was sampled since C{began}, in seconds since 1970."""

    began: float
    sketch: Any
    sampled: int = 0
    replies: dict[tuple[str, str], tuple[int, float]] = field(default_factory=dict)
    least: int = 0
    """What a reply has to be larger than, once there are as many as are kept."""

    def size(self, what: tuple[str, str], size: int, now: float, kept: int) -> None:
        """Keep the size of this reply if it is one of the largest."""
        replies = self.replies
        if size <= replies.get(what, (self.least, 0.0))[0]:
            return
        replies[what] = size, now
        if len(replies) > kept:
            del replies[min(replies, key=lambda each: replies[each])]
            self.least = min(replies.values())[0]


class HotKeys:
    """Samples the commands of one data plane.

    @param flow: where the queue is told how often to call. @param seconds: the time, in seconds since 1970.
    """

    def __init__(self, flow: Flow, seconds: Callable[[], float]) -> None:
        self._flow = flow
        self._seconds = seconds
        self._random = Random()
        self._sample = self._kept = 0
        self._sketches = Sketches(0)
        self._windows: list[_Window] = []
        flow.on_sample = self.note

    def apply(self, sample: int, kept: int) -> None:
        """Look at one of `sample` commands, at none if it is 0, and tell of `kept` keys and replies."""
        if (sample, kept) == (self._sample, self._kept):
            return
        self._sample, self._kept, self._windows = sample, kept, []
        self._flow.until_sample = sample and self._gap()
        if sample:
            self._sketches = Sketches(kept)

    def _gap(self) -> int:
        """How many commands until the next one; by chance, so that no rhythm of the clients' is kept time with."""
        return self._random.randrange(1, 2 * self._sample)

    def note(self, entry: Entry, data: bytes, count: int) -> None:
        """The queue's: one of these commands is to be looked at.

        @param data: `count` commands, or the beginning of one.
        """
        flow, weight = self._flow, 0
        while flow.until_sample <= 0:  # a long pipeline stands for several
            flow.until_sample += self._gap()
            weight += 1
        window = self._window(self._seconds())
        if window is None:
            return
        number = self._random.randrange(count)
        at = flow.figures.start_of(data, number)
        args = beginning_of(data[at : at + LOOKED_AT_BYTES], 0)
        key = shown(key_of(args)[:KEY_BYTES])
        family = entry.family if entry.families is None else entry.families[number]
        window.sampled += weight
        if key:
            window.sketch.update(f"{FAMILIES[family]} {key}", weight)
        entry.sized, entry.before = partial(self._replied, (name_of(args, family), key)), number

    def _replied(self, what: tuple[str, str], size: int) -> None:
        now = self._seconds()
        window = self._window(now)
        if window is not None:
            window.size(what, size, round(now, 3), self._kept)

    def _window(self, now: float) -> _Window | None:
        """That of this moment; None while nothing is sampled, or the library is not loaded yet."""
        windows = self._windows
        if not self._sample or not self._sketches.ready:
            return None
        if not windows or not 0 <= now - windows[-1].began < WINDOW_S:
            recent = [each for each in windows if 0 <= now - each.began < 2 * WINDOW_S]
            self._windows = windows = [*recent[-1:], _Window(now, self._sketches.new())]
        return windows[-1]

    def hot(self) -> Hot:
        """What was found of late."""
        now = self._seconds()
        if self._window(now) is None:
            return Hot(self._sample)
        windows = self._windows
        times = self._sample / max(now - windows[0].began, 1.0)
        counts = self._sketches.most(each.sketch for each in windows)
        keys = [HotKey(key, family, round(count * times, 2)) for (family, key), count in _split(counts[: self._kept])]
        sampled = sum(each.sampled for each in windows)
        replies = [BigReply(size, *what, time) for each in windows for what, (size, time) in each.replies.items()]
        return Hot(self._sample, sampled, round(sampled * times, 2), tuple(keys), _largest(replies, self._kept))


def _split(counts: Iterable[tuple[str, int]]) -> Iterable[tuple[tuple[str, str], int]]:
    for item, count in counts:
        family, _, key = item.partition(" ")
        yield (family, key), count


def _largest(replies: Iterable[BigReply], most: int) -> tuple[BigReply, ...]:
    """The largest, each command and key once."""
    each: dict[tuple[str, str], BigReply] = {}
    for reply in sorted(replies, key=lambda reply: -reply.bytes):
        each.setdefault((reply.command, reply.key), reply)
    return tuple(islice(each.values(), most))


def together(told: Iterable[Hot], kept: int) -> Hot:
    """What several data planes have found, as one. A key counts with those of them that name it."""
    every = list(told)
    rates: dict[tuple[str, str], float] = {}
    for each in every:
        for key in each.keys:
            rates[key.key, key.family] = rates.get((key.key, key.family), 0.0) + key.commands_per_s
    keys = sorted((HotKey(*what, round(rate, 2)) for what, rate in rates.items()), key=lambda key: -key.commands_per_s)
    return Hot(
        max((each.sample for each in every), default=0),
        sum(each.sampled for each in every),
        round(sum(each.commands_per_s for each in every), 2),
        tuple(keys[:kept]),
        _largest((reply for each in every for reply in each.replies), kept),
    )
