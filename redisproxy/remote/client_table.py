"""C{ClientOrders.table} as an AMP command; see L{redisproxy.remote.orders}."""

from __future__ import annotations

from redisproxy.dataplane.interface import ClientQuery, ClientTable
from redisproxy.remote.order import Order, answering, taking


class TableOfClients(Order):
    """C{ClientOrders.table}."""

    can_be_cancelled = True
    arguments = taking(which=ClientQuery)
    response = answering(ClientTable)
