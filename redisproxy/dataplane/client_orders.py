"""The orders about clients, carried out in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from redisproxy.dataplane.client_table import table
from redisproxy.dataplane.interface import ClientFilter, ClientLine, ClientQuery, ClientTable
from redisproxy.dataplane.shutdown_notice import give_notice
from redisproxy.handlers import blocking
from redisproxy.handlers.client_filters import matches
from redisproxy.handlers.client_list import info_line

if TYPE_CHECKING:
    from redisproxy.client import Client
    from redisproxy.dataplane.listeners import Listeners
    from redisproxy.net.raw_relay import RawFactory
    from redisproxy.shared.maintenance import Maintenance
    from redisproxy.shared.registry import ClientRegistry

CLOSING_POLL_S = 0.05
CLOSING_POLLS = 20
LEAVING_POLL_S = 0.05


class LocalClients:
    """Implements C{interface.ClientOrders}."""

    def __init__(
        self,
        registry: ClientRegistry[Client],
        maintenance: Maintenance,
        raw: RawFactory,
        listeners: Listeners,
        clock: IReactorTime,
    ) -> None:
        self._registry = registry
        self._maintenance = maintenance
        self._raw = raw
        self._listeners = listeners
        self._clock = clock

    def list(self, which: ClientFilter) -> Deferred[tuple[ClientLine, ...]]:
        now = self._clock.seconds()
        clients = self._registry.matching(lambda client: matches(client, which, now))
        return succeed(tuple(ClientLine(client.id, info_line(client, now)) for client in clients))

    def table(self, which: ClientQuery) -> Deferred[ClientTable]:
        return ensureDeferred(table(self._registry, which, self._clock))

    def kill(self, ids: frozenset[int]) -> Deferred[int]:
        return maybeDeferred(self._kill, ids)

    def _kill(self, ids: frozenset[int]) -> int:
        victims = self._registry.matching(lambda client: client.id in ids)
        for client in victims:
            client.closing.drop("killed")
        return len(victims)

    def unblock(self, client_id: int, error: bool = False) -> Deferred[bool]:
        client = self._registry.get(client_id)
        return succeed(client is not None and blocking.unblock(client, b"ERROR" if error else b"TIMEOUT"))

    def highest_db(self) -> Deferred[int]:
        return succeed(max((client.session.db for client in self._registry), default=0))

    def terminate_raw(self) -> Deferred[int]:
        return succeed(self._raw.terminate_all())

    def stop_listening(self) -> Deferred[None]:
        return ensureDeferred(self._listeners.close())

    def give_notice(self, within_s: float, wait_s: float, endpoint: str = "") -> Deferred[None]:
        return ensureDeferred(give_notice(self._maintenance, self._clock, within_s, wait_s, endpoint))

    def all_left(self) -> Deferred[None]:
        return ensureDeferred(self._all_left())

    async def _all_left(self) -> None:
        while len(self._registry) or len(self._raw):
            await deferLater(self._clock, LEAVING_POLL_S, lambda: None)

    def close_all(self) -> Deferred[None]:
        return ensureDeferred(self._close_all())

    async def _close_all(self) -> None:
        self._raw.terminate_all()
        for client in self._registry:
            client.closing.close()
        # Their last replies get a moment to leave; a client that does not read is not waited for.
        for _ in range(CLOSING_POLLS):
            if not len(self._registry) and not len(self._raw):
                break
            await deferLater(self._clock, CLOSING_POLL_S, lambda: None)
        for client in self._registry:
            client.closing.abort()
