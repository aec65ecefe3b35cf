"""The implementations to compare: the pure one, and the compiled one where this run has it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

from redisproxy import resp
from redisproxy.forwarding import lane, queue, twins

Result = TypeVar("Result")


class Twin:
    """One implementation of framing and lanes."""

    def __init__(self, framing_from: ModuleType, lanes_from: ModuleType, queues_from: ModuleType) -> None:
        self.RequestFramer: Any = framing_from.RequestFramer
        self.ReplyScanner: Any = framing_from.ReplyScanner
        self.Queue: Any = queues_from.Queue
        self.Lane: Any = lanes_from.Lane
        self.Flow: Any = queues_from.Flow


TWINS = [Twin(resp, lane, queue)]
if twins.NATIVE:
    from redisproxy._native import core

    TWINS.append(Twin(core, core, core))


def same(run: Callable[[Twin], Result]) -> Result:
    """Run on every twin; the result, which has to be the same for all."""
    first, *others = [run(twin) for twin in TWINS]
    for other in others:
        assert other == first, f"the twins differ:\n{first}\n{other}"
    return first
