"""All open connections to one Redis server: which of them are silent, and who waits for replies on them."""

from __future__ import annotations

from collections.abc import Iterator

from redisproxy.figures.metrics import Metrics
from redisproxy.forwarding.twins import Entry
from redisproxy.uplink.connection import UplinkConnection
from redisproxy.uplink.limits import UplinkLimits
from redisproxy.uplink.outstanding import client_of


class ConnectionRegistry:
    """All open connections of a set, logged in or not, in the order in which they were made."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._connections: dict[UplinkConnection, None] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[UplinkConnection]:
        return iter(list(self._connections))

    def add(self, connection: UplinkConnection) -> None:
        """Its transport is there."""
        self._connections[connection] = None
        self._metrics.uplink.connections_total += 1
        self._metrics.uplink.connections_open += 1

    def remove(self, connection: UplinkConnection) -> None:
        """It is gone."""
        if connection in self._connections:
            del self._connections[connection]
            self._metrics.uplink.connections_open -= 1

    @property
    def connected(self) -> bool:
        """Whether at least one connection is logged in."""
        return any(connection.alive for connection in self._connections)

    def ping(self, now: float, limits: UplinkLimits) -> list[UplinkConnection]:
        """Ask where nothing is going on whether the server is there; the connections where it has not answered."""
        silent = []
        for connection in self:
            if connection.keepalive.unanswered_s(now) > limits.ping_timeout_s:
                silent.append(connection)
            elif connection.alive and not connection.outstanding and _pingable(connection):
                connection.keepalive.ping_when_due(now, limits.ping_interval_s)
        return silent

    def overdue(self, now: float, limit_s: float) -> Iterator[tuple[UplinkConnection, object]]:
        """Connections whose first command in the queue takes longer than `limit_s`, with the client behind it."""
        for connection in self:
            sink = connection.outstanding.overdue(now, limit_s) if len(connection.queue) else None
            if sink is not None:
                yield connection, client_of(sink)

    def clients_in_flight(self) -> dict[object, Entry]:
        """The clients that wait for replies, with what each waits for first; who waits longest comes first."""
        found: dict[object, Entry] = {}
        for each in self._connections:
            for client, entry in each.outstanding.first().items():
                found.setdefault(client, entry)
        return dict(sorted(found.items(), key=lambda each: each[1].sent_ns))

    def drop_in_flight(self) -> dict[object, Entry]:
        """Close every connection that has commands of clients in flight; answer these clients, as above."""
        clients = self.clients_in_flight()
        for connection in self:
            if connection.outstanding.in_flight:
                connection.abort()
        return clients

    def close(self) -> None:
        """Close them all; what is in flight is lost."""
        for connection in self:
            connection.abort() if connection.outstanding else connection.close()


def _pingable(connection: UplinkConnection) -> bool:
    holder = connection.holder
    return holder is None or holder.pingable
