"""Who a client is to others: its id, its age, and what it did last."""

from __future__ import annotations


class Identity:
    """What CLIENT LIST shows of a connection, whoever has logged in on it.

    @ivar id: given by the registry; 0 before.
    @ivar listener: the name of the listener that it has connected to.
    @ivar created, last_seen: times on the clock; the second is brought up to date once a second.
    @ivar last_command: the last one that was not plain.
    """

    __slots__ = ("created", "id", "last_command", "last_seen", "listener")

    def __init__(self, now: float) -> None:
        self.id = 0
        self.listener = ""
        self.created = self.last_seen = now
        self.last_command = b""
