"""How many clients go from which data plane to which, so that all that serve have as many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

Name = TypeVar("Name")

TOLERANCE = 0.1
"""Of the mean: a difference that is not worth moving anybody."""
FEW = 2
"""Clients; nor is this."""


def room(loads: Mapping[Name, int], coming: int) -> dict[Name, int]:
    """How many of those that come each takes, so that all have as many in the end.

    @param loads: how many each has. @return: together at least C{coming}; none for who takes nobody.
    """
    each = -(-(sum(loads.values()) + coming) // len(loads)) if loads else 0
    while sum(max(0, each - load) for load in loads.values()) < coming:
        each += 1
    return {name: each - load for name, load in loads.items() if load < each}


def moves(loads: Mapping[Name, int]) -> list[tuple[Name, dict[Name, int]]]:
    """Who gives how many to whom; nobody while all are about equal."""
    mean = sum(loads.values()) / len(loads) if loads else 0.0
    if not loads or max(loads.values()) - min(loads.values()) <= max(FEW, TOLERANCE * mean):
        return []
    most = -(-sum(loads.values()) // len(loads))
    wanting = {name: int(mean) - load for name, load in loads.items() if load < int(mean)}
    found = [(name, _taken(wanting, load - most)) for name, load in loads.items() if load > most]
    return [(name, to) for name, to in found if to]


def _taken(wanting: dict[Name, int], count: int) -> dict[Name, int]:
    """Take so many places away from those who want some."""
    to: dict[Name, int] = {}
    names: Sequence[Name] = list(wanting)
    for name in names:
        if given := min(count, wanting[name]):
            to[name] = given
            wanting[name] -= given
            count -= given
    return to
