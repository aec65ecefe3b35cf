"""What data planes that are gone had counted, so that no counter ever goes down."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from redisproxy.figures.metrics import BoundedCounter
from redisproxy.figures.prometheus import LISTENER

if TYPE_CHECKING:
    from redisproxy.dataplane.interface import Figures

GAUGES = frozenset({"clients.open", "uplink.connections_open"})
"""Of the numbers, those that are no counters: a worker that is gone has none."""


def is_counter(name: str) -> bool:
    """Whether what has this name only grows."""
    return name not in GAUGES and not name.startswith(LISTENER)


class Gone:
    """What the workers that are gone had counted, as far as they had told.

    @ivar numbers, clients_closed, refused: see C{interface.Figures}.
    """

    def __init__(self) -> None:
        self.numbers: Counter[str] = Counter()
        self.clients_closed: Counter[str] = Counter()
        self.refused: Counter[str] = BoundedCounter()

    def add(self, last: Figures | None, clients: int) -> None:
        """A worker is gone. @param last: what it told last. @param clients: how many it had."""
        closed = self.clients_closed
        if clients:
            closed["worker_lost"] += clients
        if last is not None:
            self.numbers.update({name: value for name, value in last.numbers.items() if is_counter(name)})
            closed.update(last.clients_closed)
            for name, count in last.refused.items():
                self.refused[name] += count
