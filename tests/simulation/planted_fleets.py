"""Bugs in how several proxies are operated as one; see L{planted}. Only runs with fleets find them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from redisproxy.dataplane.interface import SWITCHOVER
from redisproxy.fleet.caller import Caller
from redisproxy.fleet.party import Party
from redisproxy.fleet.side import Side
from redisproxy.fleet.vigil import Vigil
from redisproxy.remote import interrupted, orders
from redisproxy.remote.interrupted import Verdict
from redisproxy.remote.order_server import OrderServer
from redisproxy.switchover.rollback import Rollback

if TYPE_CHECKING:
    from redisproxy.remote.order import Order
    from redisproxy.remote.order_server import Handler

Patches = Iterator[Any]


def _released_too_early() -> Patches:
    """A peer lets its clients go on when the old server is fenced, and not when it has gone to the new one."""
    original = Caller._of_the_operation

    def of_the_operation(self: Caller, order: type[Order]) -> Handler:
        handler = original(self, order)

        async def release_first(**arguments: Any) -> Any:
            await self._leading().side.give(orders.ReleaseGate, reason=SWITCHOVER)
            return await handler(**arguments)

        return release_first if order is orders.ProveWatches else handler

    yield patch.object(Caller, "_of_the_operation", of_the_operation)


def _swapped_without_asking() -> Patches:
    """A peer that has lost its leader goes to the new server, whatever the servers say."""
    yield patch.object(interrupted, "verdict", lambda old, new, writable, mark: Verdict.GO if new else Verdict.STAY)


def _stayed_without_asking() -> Patches:
    """A peer that has lost its leader goes on where it was, whatever the servers say."""
    yield patch.object(interrupted, "verdict", lambda old, new, writable, mark=None: Verdict.STAY)


def _lease_ignored() -> Patches:
    """A peer waits for its leader for as long as the connection seems to be there."""
    yield patch.object(OrderServer, "_silent", lambda self: None)


def _undone_although_one_is_lost() -> Patches:
    """The leader undoes a promotion although it does not know where a peer goes."""

    async def clients_stay(self: Rollback) -> bool:
        return True

    yield patch.object(Rollback, "_clients_stay", clients_stay)


def _never_dismissed() -> Patches:
    """Peers are not told that the operation is over."""

    async def dismiss(self: Party, report: Any) -> None: ...

    yield patch.object(Party, "dismiss", dismiss)


def _own_clients_forgotten() -> Patches:
    """When the servers have to say for all where their clients belong, the leader does not ask for its own."""

    async def settle_alone(self: Side) -> None: ...

    yield patch.object(Side, "settle_alone", settle_alone)


def _late_promotion_overlooked() -> Patches:
    """A peer that has let its clients go on at the old server looks at it no more."""
    yield patch.object(Vigil, "begin", lambda self, old, new: None)


FLEETS: dict[str, Callable[[], Patches]] = {
    "released-too-early": _released_too_early,
    "swapped-without-asking": _swapped_without_asking,
    "stayed-without-asking": _stayed_without_asking,
    "lease-ignored": _lease_ignored,
    "undone-although-one-is-lost": _undone_although_one_is_lost,
    "never-dismissed": _never_dismissed,
    "own-clients-forgotten": _own_clients_forgotten,
    "late-promotion-overlooked": _late_promotion_overlooked,
}
