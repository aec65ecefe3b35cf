"""What workers ask the control process for on behalf of their clients: about the clients of all workers."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime

from redisproxy.workers import orders
from redisproxy.workers.asking import not_answered

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
            orders.ListEverywhere: self.list,
            orders.KillEverywhere: self.kill,
            orders.UnblockEverywhere: self._clients.unblock,
        }

    async def list(self, which: ClientFilter) -> bytes:
        """The lines of CLIENT LIST for these, in order of their ids."""
        return b"".join(each.line for each in await self._clients.list(which))

    async def kill(self, which: ClientFilter, but: int) -> int:
        """Disconnect these, except for one; how many there were."""
        found = await self._clients.list(which)
        return await self._clients.kill(frozenset(each.id for each in found) - {but})

    async def unblock(self, client_id: int, error: bool) -> bool:
        """End the blocking command of this client; False when it has none."""
        return await self._clients.unblock(client_id, error)


class Direct:
    """Implements C{shared.every_worker.EveryWorker} for clients of the data plane in this process."""

    def __init__(self, everywhere: Everywhere, clock: IReactorTime) -> None:
        self._everywhere = everywhere
        self._clock = clock

    def list(self, which: ClientFilter) -> Deferred[bytes]:
        return self._ask(self._everywhere.list(which))

    def kill(self, which: ClientFilter, but: int) -> Deferred[int]:
        return self._ask(self._everywhere.kill(which, but))

    def unblock(self, client_id: int, error: bool) -> Deferred[bool]:
        return self._ask(self._everywhere.unblock(client_id, error))

    def _ask(self, work: Coroutine[Deferred[Any], Any, Any]) -> Deferred[Any]:
        return ensureDeferred(work).addTimeout(orders.ASKING_S, self._clock).addErrback(not_answered)
