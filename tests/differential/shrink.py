"""Makes a failing conversation short: fewer steps, then fewer commands in them (delta debugging)."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import TypeVar

from tests.differential.steps import Command, Step

T = TypeVar("T")
Fails = Callable[[list[Step]], bool]


def shrunk(steps: list[Step], fails: Fails, seconds: float) -> list[Step]:
    """Find the shortest conversation that still fails, in the given time. @param fails: plays one and says so."""
    until = time.monotonic() + seconds
    steps = fewer(steps, fails, until)
    for at in reversed(range(len(steps))):
        steps = _fewer_commands(steps, at, fails, until)
    return fewer(steps, fails, until)


def _fewer_commands(steps: list[Step], at: int, fails: Fails, until: float) -> list[Step]:
    def with_commands(commands: list[Command]) -> list[Step]:
        return [*steps[:at], dataclasses.replace(steps[at], commands=tuple(commands)), *steps[at + 1 :]]

    def with_others(commands: list[Command]) -> list[Step]:
        return [*steps[:at], dataclasses.replace(steps[at], others=tuple(commands)), *steps[at + 1 :]]

    steps = with_commands(fewer(list(steps[at].commands), lambda some: fails(with_commands(some)), until))
    return with_others(fewer(list(steps[at].others), lambda some: fails(with_others(some)), until))


def fewer(items: list[T], fails: Callable[[list[T]], bool], until: float) -> list[T]:
    """Remove pieces without which it still fails, large ones first."""
    size = max(1, len(items) // 2)
    while items:
        at = 0
        while at < len(items) and time.monotonic() < until:
            rest = items[:at] + items[at + size :]
            if fails(rest):
                items = rest
            else:
                at += size
        if size == 1 or time.monotonic() >= until:
            break
        size //= 2
    return items
