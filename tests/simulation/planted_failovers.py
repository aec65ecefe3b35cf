"""Bugs in failovers that the sentinels are told to make; see L{planted}. Only runs with sentinels find them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from twisted.internet.defer import succeed

from redisproxy.fleet import left_fence
from redisproxy.fleet.failover_of_all import FailoverOfAll
from redisproxy.fleet.led_failover import LedFailover
from redisproxy.switchover.sentinel_failover import SentinelFailover
from redisproxy.switchover.taken_back import Undoing

if TYPE_CHECKING:
    from redisproxy.config import TcpAddress
    from redisproxy.dataplane.interface import Release

Patches = Iterator[Any]


def _promoted_before_they_have_everything() -> Patches:
    """The sentinels are told before every replica has everything."""
    yield patch.object(SentinelFailover, "_verify", lambda self: succeed(None))


def _order_not_taken_back() -> Patches:
    """The primary takes writes again although a replica may be promoted yet."""

    async def take_back_order(self: Undoing) -> None:
        self.order_taken_back = True

    yield patch.object(Undoing, "take_back_order", take_back_order)


def _peers_not_held() -> Patches:
    """Peers let their clients go on while the leader of the fleet fences the primary."""

    async def nothing(self: FailoverOfAll) -> None: ...

    yield patch.object(FailoverOfAll, "hold", nothing)


def _peers_not_drained() -> Patches:
    """The primary is fenced while commands of clients of peers are in flight."""

    async def nothing(self: FailoverOfAll) -> None: ...

    yield patch.object(FailoverOfAll, "drained", nothing)


def _peers_let_go_too_early() -> Patches:
    """A peer lets its clients go on when a replica was promoted, and not when it has gone there."""
    original = LedFailover._gone

    async def gone(self: LedFailover, address: TcpAddress) -> Release:
        await self._released()
        return await original(self, address)

    yield patch.object(LedFailover, "_gone", gone)


def _brought_when_others_write() -> Patches:
    """A peer makes WATCHes again at the new primary when clients of the leader write there already."""
    original = LedFailover._aims_at

    async def nothing(self: FailoverOfAll, address: TcpAddress) -> None: ...

    async def gone(self: LedFailover, address: TcpAddress) -> Release:
        if not original(self, address):
            await self._aim(address)
        assert self._candidate is not None
        await self._bring(self._candidate)
        candidate, self._candidate = self._candidate, None
        await self._here.control.move.swap(candidate)
        return await self._released()

    yield patch.object(FailoverOfAll, "bring_to", nothing)
    yield patch.object(LedFailover, "_gone", gone)


def _fence_lifted_behind_the_order() -> Patches:
    """A peer that has lost its leader lifts the fence also when the sentinels may have the order."""

    async def nobody(finder: object, primary: object) -> bool:
        return True

    yield patch.object(left_fence.LeftFence, "expect_promotion", lambda self: None)
    yield patch.object(left_fence, "promotes_nobody", nobody)


FAILOVERS: dict[str, Callable[[], Patches]] = {
    "promoted-before-they-have-everything": _promoted_before_they_have_everything,
    "order-not-taken-back": _order_not_taken_back,
    "peers-not-held": _peers_not_held,
    "peers-not-drained": _peers_not_drained,
    "peers-let-go-too-early": _peers_let_go_too_early,
    "brought-when-others-write": _brought_when_others_write,
    "fence-lifted-behind-the-order": _fence_lifted_behind_the_order,
}
