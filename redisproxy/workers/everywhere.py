"""What workers ask the control process for on behalf of their clients: about the clients of all workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.workers import orders

if TYPE_CHECKING:
    from redisproxy.dataplane.interface import ClientFilter
    from redisproxy.remote.order import Order
    from redisproxy.remote.order_server import Handler
    from redisproxy.workers.all_clients import AllClients


class Everywhere:
    """Implements L{worker.Answers}."""

    def __init__(self, clients: AllClients) -> None:
        self._clients = clients

    def handlers(self) -> dict[type[Order], Handler]:
        return {
            orders.ListEverywhere: self._list,
            orders.KillEverywhere: self._kill,
            orders.UnblockEverywhere: self._clients.unblock,
        }

    async def _list(self, which: ClientFilter) -> bytes:
        return b"".join(each.line for each in await self._clients.list(which))

    async def _kill(self, which: ClientFilter, but: int) -> int:
        found = await self._clients.list(which)
        return await self._clients.kill(frozenset(each.id for each in found) - {but})
