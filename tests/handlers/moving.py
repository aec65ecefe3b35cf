"""A reload, as far as connections that bring messages are concerned."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred

from redisproxy.dataplane.message_streams import MessageStreams
from redisproxy.dataplane.watches import Watches
from tests.wire import Server, Wire


class Move:
    """What a reload does with the connections that bring messages, step by step."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.new = wire.uplinks()
        registry = wire.registry
        self.streams = MessageStreams(registry, self.new, wire.clock, 1.0)
        self.watches = Watches(registry, self.new, wire.clock, 1.0)

    def open(self) -> Server:
        """Open the connections; the last one."""
        self.run(self.streams.open())
        return self.wire.server

    def copy(self) -> Deferred[Any]:
        """Close the gate and begin to copy."""
        self.wire.pause()
        assert not self.wire.gate.in_flight
        return self.run(self.streams.copy())

    def renew(self) -> Deferred[Any]:
        """Make WATCH and MULTI again."""
        return self.run(self.watches.renew(self.streams.connections()))

    def run(self, work: Any) -> Deferred[Any]:
        running = ensureDeferred(work)
        self.wire.turn()
        return running

    def swap(self) -> None:
        """Change over, as plan.swap and proxy.take do."""
        self.streams.change_over(self.watches.on_copies)
        self.watches.change_over()
        old, self.wire.core.uplinks = self.wire.core.uplinks, self.new
        old.close()  # type: ignore[attr-defined]
        self.wire.turn()
