"""The connections that one client has to itself at a time: how many there are, and those that nobody holds."""

from __future__ import annotations

from twisted.logger import Logger

from redisproxy.forwarding.interfaces import Key
from redisproxy.uplink.connection import UplinkConnection

MOST_SPARE = 64
SPARE_S = 60.0
FULL_TOLD_S = 60.0


class PinnedConnections:
    """All pinned connections: held by a client, spare, or being opened for one.

    @param name: how log lines call the server. @param most: how many there may be.
    """

    log = Logger(namespace="redisproxy.uplink")

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self._all: set[UplinkConnection] = set()
        self._spare: dict[UplinkConnection, float] = {}
        self._full_told_at = -FULL_TOLD_S

    def __len__(self) -> int:
        return len(self._all)

    @property
    def room(self) -> int:
        """How many more there may be."""
        return max(0, self._most - len(self._all))

    @property
    def full(self) -> bool:
        """Whether there are as many as there may be."""
        return not self.room

    @property
    def spare(self) -> int:
        """How many nobody holds."""
        return len(self._spare)

    @property
    def exhausted(self) -> bool:
        """Whether who wants one has to wait until somebody gives his back."""
        return self.full and not self._spare

    @property
    def crowded(self) -> bool:
        """Whether with one more, over half of those that there may be would be in use: the rest is for clients that
        can't do without one."""
        return (len(self._all) - len(self._spare) + 1) * 2 > self._most

    @property
    def all_taken(self) -> str:
        """What to say when L{full}."""
        return f"all {self._most} connections for single clients are taken (uplink.max_pinned)"

    def warn_when_full(self, now: float) -> None:
        """Log that clients have to wait, about once a minute."""
        if self.full and now - self._full_told_at >= FULL_TOLD_S:
            self._full_told_at = now
            self.log.warn("{name}: {why}, and further ones wait", name=self._name, why=self.all_taken)

    def add(self, connection: UplinkConnection) -> None:
        """One more is being opened."""
        self._all.add(connection)

    def remove(self, connection: UplinkConnection) -> None:
        """A connection is gone."""
        self._all.discard(connection)
        self._spare.pop(connection, None)

    def keep(self, connection: UplinkConnection, now: float) -> None:
        """Nobody holds `connection`: keep it for the next one who wants such."""
        self._spare[connection] = now

    def take(self, key: Key) -> UplinkConnection:
        """Take a spare one, set to `key` if there is such; there has to be one."""
        fitting = (each for each in self._spare if (each.db, each.resp_version) == key)
        connection = next(fitting, None) or next(reversed(self._spare))
        del self._spare[connection]
        return connection

    def close_unused(self, now: float) -> None:
        """Close what has been spare for too long."""
        for connection in [each for each, since in self._spare.items() if now - since > SPARE_S]:
            del self._spare[connection]
            connection.close()
