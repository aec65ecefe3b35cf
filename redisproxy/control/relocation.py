"""What a switchover needs of the running proxy: control connections to both servers, the gate, and the swap."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred

from redisproxy.dataplane import garbage
from redisproxy.forwarding.gate import SWITCHOVER
from redisproxy.servers.credentials import credentials_of
from redisproxy.servers.redis_server import RedisServer, open_control

if TYPE_CHECKING:
    from redisproxy import config
    from redisproxy.dataplane.proxy import Proxy
    from redisproxy.dataplane.reload_plan import ReloadPlan
    from redisproxy.switchover import Report


class Gatekeeper(Protocol):
    """Who closes and opens the gate for named reasons."""

    def close_gate(self, reason: str) -> None: ...

    def open_gate(self, reason: str) -> None: ...


class Relocation:
    """One switchover's world: from the uplink in force to that of `plan`."""

    def __init__(self, proxy: Proxy, plan: ReloadPlan, gatekeeper: Gatekeeper) -> None:
        self.clock = proxy.clock
        self.old = proxy.settings.uplink
        self.new = plan.settings.uplink
        self.settings = plan.settings.switchover
        self._proxy = proxy
        self._plan = plan
        self._gatekeeper = gatekeeper
        self._before = proxy.settings
        self._waiting_for_word: Deferred[None] | None = None
        self._closed_before = dict(proxy.metrics.clients.closed)

    async def _open(self, which: str, settings: config.Settings) -> RedisServer:
        uplink = settings.uplink
        connect: Callable[..., Any] = self._proxy.raw_connect(settings)
        name = f"the {which} server ({uplink.address})"
        return await open_control(name, connect, credentials_of(uplink), self.clock, uplink.connect_timeout_ms / 1000)

    async def open_old(self) -> RedisServer:
        """A control connection to the old server."""
        return await self._open("old", self._before)

    async def open_new(self) -> RedisServer:
        """A control connection to the new server."""
        return await self._open("new", self._plan.settings)

    def highest_db(self) -> int:
        """The highest database that a client has selected."""
        return max((client.session.db for client in self._proxy.registry), default=0)

    async def connect(self) -> None:
        """Log in at the new server with all the connections that clients will need."""
        await self._plan.connect()

    # -- the gate

    def close_gate(self) -> None:
        """Hold the clients."""
        garbage.hold()
        self._gatekeeper.close_gate(SWITCHOVER)

    def open_gate(self) -> Report:
        """Let the clients go on; tell how many waited, and how long."""
        gate = self._proxy.gate
        now = self.clock.seconds()
        waited = {
            "pause_ms": _ms(now - gate.closed_at) if gate.closed_at is not None else 0.0,
            "held": gate.held,
            "longest_wait_ms": _ms(now - gate.held_since) if gate.held_since is not None else 0.0,
            "clients_closed": self._closed_meanwhile(),
        }
        try:
            self._gatekeeper.open_gate(SWITCHOVER)
        finally:
            garbage.go_on()
        return waited

    def _closed_meanwhile(self) -> dict[str, int]:
        now, before = self._proxy.metrics.clients.closed, self._closed_before
        return {why: count - before.get(why, 0) for why, count in now.items() if count > before.get(why, 0)}

    def drained(self) -> Deferred[None]:
        """Fire when nothing is in flight."""
        return self._proxy.gate.drained()

    def in_flight(self) -> list[dict[str, Any]]:
        """Who has commands in flight now."""
        return self._proxy.name_in_flight()

    # -- the end

    async def prove_watches(self) -> None:
        """See which WATCHes still hold; the old server is fenced."""
        await self._plan.watches.prove()

    async def prepare(self) -> None:
        """Bring the rest of what clients have at the old server to the new one."""
        await self._plan.prepare()

    def swap(self) -> None:
        """Take the new configuration."""
        self._plan.swap()

    def abandon(self) -> None:
        """Leave no trace of the new configuration."""
        self._plan.abandon()

    def told_to_go_on(self) -> Deferred[None]:
        """Fire when the operator says so."""
        self._waiting_for_word = Deferred()
        return self._waiting_for_word

    def go_on(self) -> bool:
        """The operator's word; False when nobody waits for it."""
        waiting, self._waiting_for_word = self._waiting_for_word, None
        if waiting is None or waiting.called:
            return False
        waiting.callback(None)
        return True


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)
