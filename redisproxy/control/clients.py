"""What operators see of clients, and the end that they can put to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.logger import Logger

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.control.answers import Answer
    from redisproxy.dataplane.interface import ClientOrders, ClientQuery, ClientTable


class Clients:
    """The clients of all that carry commands.

    @param orders: to the data plane.
    """

    log = Logger(namespace="redisproxy.control")

    def __init__(self, orders: ClientOrders) -> None:
        self._orders = orders

    def table(self, which: ClientQuery) -> Deferred[Answer]:
        """The clients that `which` describes, and how many there are: C{clients}, C{total}, C{missing}."""
        return self._orders.table(which).addCallback(_told)

    def kill(self, ids: frozenset[int]) -> Deferred[Answer]:
        """Disconnect these; the answer says how many there were: C{killed}."""
        return self._orders.kill(ids).addCallback(self._killed, ids)

    def _killed(self, count: int, ids: frozenset[int]) -> Answer:
        some = ", ".join(map(str, sorted(ids)[:20])) + (", ..." if len(ids) > 20 else "")
        self.log.info("{count} clients were killed by an operator: {some}", count=count, some=some)
        return {"killed": count}


def _told(table: ClientTable) -> Answer:
    rows = [dict(vars(row)) for row in table.rows]
    return {"clients": rows, "total": table.total, "missing": list(table.missing)}
