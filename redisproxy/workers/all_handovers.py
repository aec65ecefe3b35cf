"""Clients that go from all members to other data planes: an upgrade gives them to those of another process.

A client that comes goes straight to one of the members, by its own socket.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, ensureDeferred, fail

from redisproxy.dataplane.interface import HandedClient, HandedOver, NotSupported, Taker
from redisproxy.net.deferreds import all_settled
from redisproxy.workers.handovers import FAILURES

if TYPE_CHECKING:
    from redisproxy.workers.handovers import Handovers
    from redisproxy.workers.members import Members


class AllHandovers:
    """Implements C{interface.HandoverOrders}."""

    def __init__(self, members: Members, handovers: Handovers) -> None:
        self._members = members
        self._handovers = handovers

    def expect(self, state: bytes, marker: bytes) -> Deferred[None]:
        return _to_a_member()

    def adopt(self, client: HandedClient) -> Deferred[None]:
        os.close(client.descriptor)
        return _to_a_member()

    def forget(self, client_id: int) -> Deferred[None]:
        return _to_a_member()

    def hand_over(self, to: tuple[Taker, ...], limit_s: float) -> Deferred[HandedOver]:
        return ensureDeferred(self._hand_over(to, limit_s))

    async def _hand_over(self, to: tuple[Taker, ...], limit_s: float) -> HandedOver:
        members = self._members.in_use
        shares = [divided(to, len(members), at) for at in range(len(members))]
        works = [member.plane.handover.hand_over(share, limit_s) for member, share in zip(members, shares, strict=True)]
        staying, taken = Counter[str](), 0
        results = await all_settled(works)
        for member, (good, value) in zip(members, results, strict=True):
            if good:
                taken += value.taken
                staying.update(value.staying)
            elif value.check(*FAILURES):
                staying[f"{member.label}: {value.getErrorMessage()}"] += member.load
            else:
                value.raiseException()
        return HandedOver(taken, dict(staying))

    def stop(self) -> Deferred[None]:
        return ensureDeferred(self._handovers.stop())


def divided(to: tuple[Taker, ...], parts: int, at: int) -> tuple[Taker, ...]:
    """What one of so many may give to each taker: together they give no more than all may."""
    return tuple(Taker(each.path, each.count // parts + (1 if at < each.count % parts else 0)) for each in to)


def _to_a_member() -> Deferred[None]:
    return fail(NotSupported("a client goes to one of the data planes, not to all of them"))
