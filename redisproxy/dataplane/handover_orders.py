"""The orders about clients that go to another data plane or come from one, carried out in this process."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime

from redisproxy.dataplane.adoption import Adoption
from redisproxy.dataplane.handover import Handover, Target
from redisproxy.dataplane.interface import HandedClient, HandedOver, HandoverRefused, NotSupported, Taker
from redisproxy.net.deferreds import all_settled
from redisproxy.serving.leaving import Leaving

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redisproxy.client import Client
    from redisproxy.dataplane.in_force import InForce
    from redisproxy.dataplane.listeners import Listeners
    from redisproxy.dataplane.turns import Turns
    from redisproxy.shared.notes import Notes
    from redisproxy.shared.registry import ClientRegistry


class Peer(Target, Protocol):
    """Another data plane, over a connection."""

    def close(self) -> None:
        """Close the connection; nobody else is handed over."""


Reach = Callable[[str], "Deferred[Peer]"]
"""Connects to the data plane that listens at this Unix socket."""


class LocalHandover:
    """Implements C{interface.HandoverOrders}.

    @param reach: how other data planes are reached; None where they are not.
    @param notes: of what clients change; they are not complete when clients have another data plane, too.
    """

    def __init__(
        self,
        in_force: InForce,
        listeners: Listeners,
        notes: Notes,
        registry: ClientRegistry[Client],
        network: Any,
        clock: IReactorTime,
        turns: Turns,
        reach: Reach | None,
    ) -> None:
        self._notes = notes
        self._in_force = in_force
        self._listeners = listeners
        self._registry = registry
        self._network = network
        self._clock = clock
        self._turns = turns
        self._reach = reach
        self._running: list[Handover] = []
        self._stopped = False
        self._over: list[Deferred[None]] = []
        turns.coming = lambda: self.adoption.expected

    @property
    def _step_s(self) -> float:
        timeout_ms: int = self._in_force.settings.uplink.connect_timeout_ms
        return timeout_ms / 1000

    @cached_property
    def adoption(self) -> Adoption:
        """What takes clients in."""
        return Adoption(self._listeners.factory_named, self._network, self._clock, self._step_s)

    def to(self, target: Target) -> Handover:
        """What hands clients over to `target`."""
        return Handover(self._in_force.uplinks, self._network, self._clock, target, self._step_s)

    def expect(self, state: bytes, marker: bytes) -> Deferred[None]:
        return ensureDeferred(self._expect(state, marker))

    async def _expect(self, state: bytes, marker: bytes) -> None:
        self._turns.hand_over()
        await self.adoption.prepare(state, marker)

    def adopt(self, client: HandedClient) -> Deferred[None]:
        self._notes.miss()
        return ensureDeferred(self._adopt(client))

    async def _adopt(self, client: HandedClient) -> None:
        try:
            self._turns.hand_over()
        except HandoverRefused:
            os.close(client.descriptor)
            raise
        await self.adoption.take(client)

    def forget(self, client_id: int) -> Deferred[None]:
        return maybeDeferred(self.adoption.abandon, client_id)

    # -- giving

    def hand_over(self, to: tuple[Taker, ...], limit_s: float) -> Deferred[HandedOver]:
        return ensureDeferred(self._hand_over(to, limit_s))

    async def _hand_over(self, to: tuple[Taker, ...], limit_s: float) -> HandedOver:
        if self._reach is None:
            raise NotSupported("this data plane can't reach others")
        self._turns.hand_over()
        if self._turns.giving:
            raise HandoverRefused("clients are being handed over already")
        self._turns.giving += 1
        self._stopped = False
        try:
            return await self._give(self._reach, to, limit_s)
        finally:
            self._turns.giving -= 1
            over, self._over = self._over, []
            for each in over:
                each.callback(None)

    async def _give(self, reach: Reach, to: tuple[Taker, ...], limit_s: float) -> HandedOver:
        reached = await all_settled([reach(each.path) for each in to])
        peers = {each: peer for each, (good, peer) in zip(to, reached, strict=True) if good}
        if to and not peers:
            # Who is lost is one of them, and not this data plane.
            raise HandoverRefused(reached[0][1].getErrorMessage())
        self._notes.miss_from_now_on()
        self._running = [self.to(peer) for peer in peers.values()]
        if self._stopped:
            self._stop()
        try:
            shares, staying = self._shares([each.count for each in peers])
            works = [work.move(share, limit_s) for work, share in zip(self._running, shares, strict=True)]
            left = await all_settled([ensureDeferred(work) for work in works])
        finally:
            self._running = []
            for peer in peers.values():
                peer.close()
        for good, value in left:
            if not good:
                value.raiseException()
            staying.update(value.values())
        return HandedOver(sum(map(len, shares)) - sum(len(value) for _, value in left), dict(staying))

    def _shares(self, counts: Sequence[int]) -> tuple[list[list[Client]], Counter[str]]:
        """Who goes to each taker, and how many can't go to any, by the reason."""
        able, staying = [], Counter[str]()
        for client in self._registry:
            if why := Leaving(client).stays:
                staying[why] += 1
            else:
                able.append(client)
        return dealt(able, counts), staying

    def _stop(self) -> None:
        self._stopped = True
        for each in self._running:
            each.stop()

    def stop(self) -> Deferred[None]:
        self._stop()
        if not self._turns.giving:
            return succeed(None)
        self._over.append(over := Deferred[None](self._over.remove))
        return over


def dealt(clients: Iterable[Client], counts: Sequence[int]) -> list[list[Client]]:
    """Deal clients out in turn, to each as many as it may have; those that are too many stay."""
    shares: list[list[Client]] = [[] for _ in counts]
    left = iter(clients)
    while able := [share for share, count in zip(shares, counts, strict=True) if len(share) < count]:
        for share in able:
            client = next(left, None)
            if client is None:
                return shares
            share.append(client)
    return shares
