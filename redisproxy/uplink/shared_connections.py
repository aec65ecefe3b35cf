"""The connections that clients without state at the server share: one for each (database, RESP version)."""

from __future__ import annotations

from redisproxy.forwarding.interfaces import Key
from redisproxy.uplink.connection import UplinkConnection
from redisproxy.uplink.wait_queue import WaitQueue

LAG_S = 0.1
"""So long something may wait for its reply on a shared connection before others are sent elsewhere."""


class SharedConnections:
    """The shared connections by what they are set to.

    @param requests: who waits for one.
    """

    def __init__(self, requests: WaitQueue) -> None:
        self._requests = requests
        self._by_key: dict[Key, UplinkConnection] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def items(self) -> list[tuple[Key, UplinkConnection]]:
        """What there is at this moment."""
        return list(self._by_key.items())

    def get(self, key: Key) -> UplinkConnection | None:
        """The one for `key`, if it takes commands right now."""
        connection = self._by_key.get(key)
        return connection if connection is not None and connection.ready else None

    def add(self, key: Key, connection: UplinkConnection, now: float) -> None:
        """Share `connection`, in place of the one before, unless that is fast again."""
        before = self._by_key.get(key)
        if before is not None and before.ready and lag_of(before, now) < LAG_S:
            connection.close()
            return
        self._by_key[key] = connection
        if before is not None:
            before.retire()

    def remove(self, connection: UplinkConnection) -> None:
        """Hand this one out no more."""
        for key, shared in self.items():
            if shared is connection:
                del self._by_key[key]

    def serve(self) -> None:
        """Hand out what there is to who waits."""
        for key in self._requests.shared_keys():
            # Without a connection nobody is looked at: each of those who wait for one comes here.
            for request in self._requests.all_shared(key) if key in self._by_key else ():
                connection = self._by_key.get(key)
                if connection is not None and self._requests.take(request):
                    request.answer.callback(connection)


def lag_of(connection: UplinkConnection, now: float) -> float:
    """For how many seconds at least a client that reads has waited for a reply on `connection`."""
    return connection.outstanding.lag(now, connection.alive and connection.reading)
