"""Bugs in how several proxies are operated as one; see L{planted}. Only runs with fleets find them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from redisproxy.dataplane.interface import SWITCHOVER
from redisproxy.fleet import fleet
from redisproxy.fleet.caller import Caller
from redisproxy.fleet.party import Party
from redisproxy.remote import interrupted, orders
from redisproxy.remote.interrupted import Verdict
from redisproxy.remote.moving import Moves
from redisproxy.remote.order_server import OrderServer
from redisproxy.remote.standing import Brought

if TYPE_CHECKING:
    from redisproxy.fleet.all_planes import Assembly
    from redisproxy.remote.order import Order
    from redisproxy.remote.order_server import Handler

Patches = Iterator[Any]


def _released_too_early() -> Patches:
    """A peer lets its clients go on when the old server is fenced, and not when it has gone to the new one."""
    original = Caller._of_the_operation

    def of_the_operation(self: Caller, order: type[Order]) -> Handler:
        handler = original(self, order)

        async def release_first(**arguments: Any) -> Any:
            await self._leading().handler(orders.ReleaseGate)(reason=SWITCHOVER)
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


def _never_dismissed() -> Patches:
    """Peers are not told that the operation is over."""

    async def dismiss(self: Party, report: Any) -> None: ...

    yield patch.object(Party, "dismiss", dismiss)


def _watch_made_again_late() -> Patches:
    """A peer that goes to the new server after the others takes a WATCH for proven there."""
    original = Moves.prepare_again

    async def prepare_again(self: Moves) -> None:
        if self.begun.brought is Brought.PART:
            await original(self)

    yield patch.object(Moves, "prepare_again", prepare_again)


def _fence_left_to_the_leader() -> Patches:
    """A leader that can't reach the server that it has fenced lets the clients of its peers go on there."""

    async def nobody(assembly: Assembly) -> bool:
        return False

    yield patch.object(fleet, "fence_lifted_by_peers", nobody)


FLEETS: dict[str, Callable[[], Patches]] = {
    "released-too-early": _released_too_early,
    "swapped-without-asking": _swapped_without_asking,
    "stayed-without-asking": _stayed_without_asking,
    "lease-ignored": _lease_ignored,
    "never-dismissed": _never_dismissed,
    "watch-made-again-late": _watch_made_again_late,
    "fence-left-to-the-leader": _fence_left_to_the_leader,
}
