"""The orders about clients that go to another data plane or come from one, carried out in this process."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime

from redisproxy.dataplane.adoption import Adoption
from redisproxy.dataplane.handover import Handover, Target
from redisproxy.dataplane.interface import HandedClient, NotSupported

if TYPE_CHECKING:
    from redisproxy.client import Client
    from redisproxy.dataplane.in_force import InForce
    from redisproxy.dataplane.listeners import Listeners
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
        reach: Reach | None,
    ) -> None:
        self._notes = notes
        self._in_force = in_force
        self._listeners = listeners
        self._registry = registry
        self._network = network
        self._clock = clock
        self._reach = reach

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
        return ensureDeferred(self.adoption.prepare(state, marker))

    def adopt(self, client: HandedClient) -> Deferred[None]:
        self._notes.miss()
        return ensureDeferred(self.adoption.take(client))

    def forget(self, client_id: int) -> Deferred[None]:
        return maybeDeferred(self.adoption.abandon, client_id)

    def hand_over(self, to: str, limit_s: float) -> Deferred[int]:
        return ensureDeferred(self._hand_over(to, limit_s))

    async def _hand_over(self, to: str, limit_s: float) -> int:
        if self._reach is None:
            raise NotSupported("this data plane can't reach others")
        peer = await self._reach(to)
        self._notes.miss_from_now_on()
        clients = list(self._registry)
        try:
            return len(clients) - len(await self.to(peer).move(clients, limit_s))
        finally:
            peer.close()
