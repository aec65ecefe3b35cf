"""The open connections to one Redis server: which of them are stuck, and who waits for replies on them."""

from __future__ import annotations

from collections.abc import Iterator

from redisproxy.uplink.connection import UplinkConnection, client_of
from redisproxy.uplink.limits import UplinkLimits


class Roster:
    """All open connections of a set, logged in or not, in the order in which they were made."""

    def __init__(self) -> None:
        self._connections: dict[UplinkConnection, None] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[UplinkConnection]:
        return iter(list(self._connections))

    def __contains__(self, connection: UplinkConnection) -> bool:
        return connection in self._connections

    def add(self, connection: UplinkConnection) -> None:
        """Its transport is there."""
        self._connections[connection] = None

    def remove(self, connection: UplinkConnection) -> bool:
        """It is gone; whether it was there."""
        there = connection in self._connections
        self._connections.pop(connection, None)
        return there

    @property
    def connected(self) -> bool:
        """Whether at least one connection is logged in."""
        return any(connection.alive for connection in self._connections)

    def ping(self, now: float, limits: UplinkLimits) -> list[UplinkConnection]:
        """Ask where nothing is going on whether the server is there; the connections where it has not answered."""
        silent = []
        for connection in self:
            if connection.unanswered(now) > limits.ping_timeout_s:
                silent.append(connection)
            elif connection.alive and not connection.busy and _pingable(connection):
                if connection.last_pinged == 0.0:
                    connection.last_pinged = now
                elif now - connection.last_pinged >= limits.ping_interval_s:
                    connection.last_pinged = now
                    connection.ping(now)
        return silent

    def overdue(self, now: float, limit_s: float) -> Iterator[tuple[UplinkConnection, object]]:
        """Connections whose first command in the queue takes longer than `limit_s`, with the client behind it."""
        for connection in self:
            sink = connection.overdue(now, limit_s)
            if sink is not None:
                yield connection, client_of(sink)

    def clients_in_flight(self) -> list[object]:
        """The clients that wait for replies, each once."""
        clients: dict[object, None] = {}
        for connection in self._connections:
            clients.update((client_of(entry.sink), None) for entry in connection.queue.entries() if entry.counted)
        return list(clients)

    def drop_in_flight(self) -> list[object]:
        """Close every connection that has commands of clients in flight; answer these clients, each once."""
        clients = self.clients_in_flight()
        for connection in self:
            if connection.in_flight:
                connection.abort()
        return clients


def _pingable(connection: UplinkConnection) -> bool:
    holder = connection.holder
    return holder is None or holder.pingable
