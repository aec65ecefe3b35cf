"""Connections to Redis on which no client waits are reset, mostly as a pause or a switch begins: nobody may notice."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from redisproxy.uplink import UplinkConnection
from redisproxy.uplink.urgent_commands import UrgentCommand

if TYPE_CHECKING:
    from tests.simulation.network import End
    from tests.simulation.world import World

SHARE = 0.25
LOOK_S = 0.001


class IdleResets:
    """Resets connections in some of the worlds in which nothing else fails.

    @ivar active: whether it does in this one.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = Random(f"{world.seed} idle resets")
        self.active = not world.faulty and self.chance.random() < SHARE
        self._was_open = True

    def begin(self) -> None:
        """Look for idle connections until the world ends: thousands of times a second, so without Deferreds."""
        if self.active:
            self._look_soon()

    def _look_soon(self) -> None:
        self.world.clock.at(LOOK_S * self.chance.random(), self._look)

    def _look(self) -> None:
        closed = any(plane.core.blocked_commands.closed for plane in self.world.carrier.planes)
        now = self.chance.random() < (0.8 if self._was_open and closed else 0.002)
        self._was_open = not closed
        if now:
            self._reset_some()
        if not self.world.ending:
            self._look_soon()

    def _reset_some(self) -> None:
        for end in self.world.net.connections("uplink"):
            if _nobody_waits(end) and self.chance.random() < 0.5:
                self.world.note("resets", f"{end.getHost().port}, on which no client waits")
                end.reset()
                end.peer.reset()


def _nobody_waits(end: End) -> bool:
    connection = end.protocol
    return (
        isinstance(connection, UplinkConnection)
        and connection.alive
        and connection.holder is None
        and not connection.outstanding.in_flight
        and not isinstance(connection.uplinks, UrgentCommand)
    )
