"""The replies outstanding on one uplink connection: who waits for them, for how long, and who holds others up.

Nothing here is on a command's path: the supervision looks ten times a second at what is in the queue.
"""

from __future__ import annotations

from redisproxy.forwarding.interfaces import ReplySink
from redisproxy.forwarding.twins import Entry, Queue

MANY = 32
"""Who waits for more replies than this holds others up, when a connection lags."""


class OutstandingReplies:
    """Looks at one connection's queue. "Of clients" leaves out replies to commands of the proxy's own."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._first: tuple[Entry | None, int, float] = (None, 0, 0.0)
        self._last: tuple[Entry | None, float] = (None, 0.0)

    def __bool__(self) -> bool:
        return bool(len(self._queue))

    @property
    def in_flight(self) -> int:
        """How many commands of clients are sent and not completely answered."""
        return sum(entry.want for entry in self._of_clients())

    def clients(self) -> dict[object, int]:
        """The clients that wait, in order, with how many replies each waits for."""
        wanted: dict[object, int] = {}
        for entry in self._of_clients():
            client = client_of(entry.sink)
            wanted[client] = wanted.get(client, 0) + entry.want
        return wanted

    def first(self) -> dict[object, Entry]:
        """The clients that wait, in order, with what each waits for first."""
        found: dict[object, Entry] = {}
        for entry in self._of_clients():
            found.setdefault(client_of(entry.sink), entry)
        return found

    def only_for(self, client: object) -> bool:
        """Whether no other client waits: what else is outstanding can wait, or be sent again."""
        return all(client_of(entry.sink) is client for entry in self._of_clients())

    def holding_up(self) -> list[object]:
        """The clients for whom others wait: whose command is the first, and who waits for many replies."""
        return [client for at, (client, want) in enumerate(self.clients().items()) if not at or want > MANY]

    def _of_clients(self) -> list[Entry]:
        return [entry for entry in self._queue.entries() if entry.counted]

    def overdue(self, now: float, limit_s: float) -> ReplySink | None:
        """Say whose command has been at the head of the queue for longer than `limit_s` seconds, if any.

        Each command's time starts when it has become the first in the queue: what it waited for others is not its own.
        To be called regularly; the answer is as exact as the calls are frequent.
        """
        head = self._queue.head()
        if head is None or not head.timed:
            self._first = (None, 0, now)
            return None
        entry, want, since = self._first
        known = head is entry and head.want == want
        if known and now - since < limit_s:
            return None
        self._first = (head, head.want, now)
        overdue: ReplySink = head.sink
        return overdue if known else None

    def lag(self, now: float, being_read: bool) -> float:
        """For how many seconds at least some client has waited for a reply; 0 when none has for as long as between two
        calls. What may wait by itself (BLPOP) does not count.

        @param being_read: replies are read at all; who does not read them waits for itself.
        """
        entry, since = self._last
        if entry is not None and entry.want and being_read:
            return now - since
        last = self._queue.tail()
        self._last = (last if last is not None and last.timed and last.counted else None, now)
        return 0.0


def client_of(sink: ReplySink) -> object:
    """The client behind a sink: the sink itself, or what it holds as C{client}."""
    return getattr(sink, "client", sink)
