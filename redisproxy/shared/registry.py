"""Every client that is connected, by the id that it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from redisproxy.figures.metrics import Metrics

Client = TypeVar("Client")


class ClientRegistry(Generic[Client]):
    """The clients, in order of their ids. Ids start at 1, grow, and are never used again."""

    def __init__(self, metrics: Metrics, max_clients: int) -> None:
        self.max_clients = max_clients
        self._metrics = metrics
        self._clients: dict[int, Client] = {}
        self._last_id = 0

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[Client]:
        return iter(list(self._clients.values()))

    @property
    def full(self) -> bool:
        """Whether one more client would be too many."""
        return len(self._clients) >= self.max_clients

    def add(self, client: Client) -> int:
        """Remember `client`, and return the id that it gets."""
        self._last_id += 1
        self._clients[self._last_id] = client
        self._metrics.clients.total += 1
        self._metrics.clients.open += 1
        return self._last_id

    def remove(self, client_id: int) -> None:
        """This client has disconnected; one that was never added, or has been removed, is ignored."""
        if self._clients.pop(client_id, None) is not None:
            self._metrics.clients.open -= 1

    def get(self, client_id: int) -> Client | None:
        """The client with this id."""
        return self._clients.get(client_id)

    def matching(self, *tests: Callable[[Client], bool]) -> list[Client]:
        """The clients that pass every one of `tests`."""
        return [client for client in self if all(test(client) for test in tests)]
