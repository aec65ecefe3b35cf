"""Counters of what a data plane carries: called, never calling.

The command path adds to plain integers; C{exposition} turns them into the text format of Prometheus when asked.
"""

from __future__ import annotations

from collections import Counter

from redisproxy.forwarding.twins import Flow

MAX_NAMES = 100
OTHER = "other"

_FLOW = ("commands_total", "bytes_from_clients", "bytes_to_clients")
_OWN = (
    "clients_total",
    "clients_open",
    "commands_held_total",
    "uplink_connections_total",
    "uplink_connections_open",
    "uplink_failures_total",
    "auth_failures_total",
)


class BoundedCounter(Counter[str]):
    """A counter by name with at most 100 names; what is counted under further ones is counted as C{other}."""

    def __setitem__(self, name: str, value: int) -> None:
        if name not in self and len(self) >= MAX_NAMES and name != OTHER:
            super().__setitem__(OTHER, self[OTHER] + value)
        else:
            super().__setitem__(name, value)


class Metrics:
    """All numbers of one data plane.

    @ivar flow: the counts that every command changes.
    @ivar clients_closed: clients that the proxy has closed, by reason.
    @ivar refused: commands that were refused, by name.
    """

    __slots__ = (*_OWN, "clients_closed", "flow", "refused")

    clients_total: int
    clients_open: int
    commands_held_total: int
    uplink_connections_total: int
    uplink_connections_open: int
    uplink_failures_total: int
    auth_failures_total: int

    def __init__(self) -> None:
        self.flow = Flow()
        for name in _OWN:
            setattr(self, name, 0)
        self.clients_closed: Counter[str] = BoundedCounter()
        self.refused: Counter[str] = BoundedCounter()

    @property
    def commands_total(self) -> int:
        """Commands sent for clients."""
        return self.flow.commands

    @property
    def bytes_from_clients(self) -> int:
        """Bytes received from clients."""
        return self.flow.bytes_from_clients

    @property
    def bytes_to_clients(self) -> int:
        """Bytes sent to clients."""
        return self.flow.bytes_to_clients

    def numbers(self) -> dict[str, int]:
        """Every counter and gauge by name, as they are now."""
        return {name: getattr(self, name) for name in (*_OWN, *_FLOW)}
