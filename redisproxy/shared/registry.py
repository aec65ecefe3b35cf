"""Every client that is connected, by the id that it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from redisproxy.figures.metrics import Metrics

Client = TypeVar("Client")


@dataclass(frozen=True)
class Ids:
    """The ids that one process gives to clients: those whose remainder by C{step} is C{worker}.

    @ivar after: they are higher than this.
    """

    worker: int = 0
    step: int = 1
    after: int = 0

    def next(self, last: int) -> int:
        """The lowest one above `last`."""
        return last + self.step - (last - self.worker) % self.step


ALL_IDS = Ids()


class ClientRegistry(Generic[Client]):
    """The clients, in order of their ids. Ids start at 1, grow, and are never used again.

    @ivar changed: called when a client has come or gone.
    @param ids: which of all numbers this process gives out.
    """

    def __init__(self, metrics: Metrics, max_clients: int, ids: Ids = ALL_IDS) -> None:
        self.max_clients = max_clients
        self.changed: Callable[[], None] = lambda: None
        self._metrics = metrics
        self._clients: dict[int, Client] = {}
        self._ids = ids
        self._last_id = ids.after
        self._reserved: set[int] = set()
        self._in_order = True

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[Client]:
        if not self._in_order:
            self._clients = dict(sorted(self._clients.items()))
            self._in_order = True
        return iter(list(self._clients.values()))

    @property
    def full(self) -> bool:
        """Whether one more client would be too many. Those who are on their way here have their places already."""
        return len(self._clients) + len(self._reserved) >= self.max_clients

    def add(self, client: Client) -> int:
        """Remember `client`, and return the id that it gets."""
        self._last_id = self._ids.next(self._last_id)
        self._clients[self._last_id] = client
        self._metrics.clients.total += 1
        self._metrics.clients.open += 1
        self.changed()
        return self._last_id

    def reserve(self, client_id: int) -> bool:
        """Give this id to nobody else: whoever has it comes from another process. False when somebody has it here."""
        if client_id in self._clients or client_id in self._reserved:
            return False
        self._reserved.add(client_id)
        self._last_id = max(self._last_id, client_id)
        return True

    @property
    def last_id(self) -> int:
        """The highest id that anybody has had."""
        return self._last_id

    def give_no_id_up_to(self, last_id: int) -> None:
        """Another process has given ids up to this one."""
        self._last_id = max(self._last_id, last_id)

    def unreserve(self, client_id: int) -> None:
        """Whoever has this id does not come."""
        self._reserved.discard(client_id)

    def take_in(self, client: Client, client_id: int) -> None:
        """Remember a client that has its id already; see L{reserve}. Twice is the same as once."""
        self._reserved.discard(client_id)
        if client_id in self._clients:
            return
        self._in_order = self._in_order and client_id > next(reversed(self._clients), 0)
        self._clients[client_id] = client
        self._metrics.clients.open += 1
        self.changed()

    def remove(self, client_id: int) -> None:
        """This client has disconnected; one that was never added, or has been removed, is ignored."""
        if self._clients.pop(client_id, None) is not None:
            self._metrics.clients.open -= 1
            self.changed()

    def get(self, client_id: int) -> Client | None:
        """The client with this id."""
        return self._clients.get(client_id)

    def matching(self, *tests: Callable[[Client], bool]) -> list[Client]:
        """The clients that pass every one of `tests`."""
        return [client for client in self if all(test(client) for test in tests)]
