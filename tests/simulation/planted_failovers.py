"""Bugs in failovers that the sentinels are told to make; see L{planted}. Only runs with sentinels find them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from twisted.internet.defer import succeed

from redisproxy.switchover.sentinel_failover import SentinelFailover
from redisproxy.switchover.taken_back import Undoing

Patches = Iterator[Any]


def _promoted_before_they_have_everything() -> Patches:
    """The sentinels are told before every replica has everything."""
    yield patch.object(SentinelFailover, "_verify", lambda self: succeed(None))


def _order_not_taken_back() -> Patches:
    """The primary takes writes again although a replica may be promoted yet."""

    async def take_back_order(self: Undoing) -> None:
        self.order_taken_back = True

    yield patch.object(Undoing, "take_back_order", take_back_order)


FAILOVERS: dict[str, Callable[[], Patches]] = {
    "promoted-before-they-have-everything": _promoted_before_they_have_everything,
    "order-not-taken-back": _order_not_taken_back,
}
