"""Clients with blocking commands: called back from the server before a move, and sent there again after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from redisproxy.shared.blocked_commands import BATCH, BlockedCommands

if TYPE_CHECKING:
    from redisproxy.client import Client
    from redisproxy.client.waiting import BlockedCommand
    from redisproxy.forwarding.gate import Gate
    from redisproxy.shared.registry import ClientRegistry

CALL_BACK_S = 1.0
"""How long it is waited for the next client to come back."""
CALL_BACK_POLL_S = 0.002


class BlockedClients:
    """Has all of them wait in the proxy during a move, and no longer than need be."""

    def __init__(
        self, registry: ClientRegistry[Client], held: BlockedCommands, gate: Gate, clock: IReactorTime
    ) -> None:
        self._registry = registry
        self._held = held
        self._gate = gate
        self._clock = clock

    async def call_back(self) -> None:
        """Have the clients with blocking commands wait here, a few at a time, while all others go on.

        Who does not come back is called once more when the gate closes.
        """
        clock = self._clock
        self._held.close()
        staying, progress_at = self._blocked(), clock.seconds()
        while staying and clock.seconds() - progress_at < CALL_BACK_S:
            self._held.close()  # an operator may have unpaused meanwhile
            for each in [each for each in staying if not each.moving][:BATCH]:
                each.move()
            await deferLater(clock, CALL_BACK_POLL_S, lambda: None)
            before, staying = len(staying), self._blocked()
            if len(staying) < before:
                progress_at = clock.seconds()

    def _blocked(self) -> list[BlockedCommand]:
        blocked = [client.waiting.blocking for client in self._registry]
        return [each for each in blocked if each is not None and each.can_be_sent_again]

    def gate_closed(self) -> None:
        """The gate has closed: everybody is to come back now."""
        self._held.close()
        for client in self._registry:
            if client.waiting.blocking is not None:
                client.gate_closed()

    def let_go(self) -> None:
        """Let those who wait here go on, if they may."""
        if self._gate.open:
            self._held.open()
