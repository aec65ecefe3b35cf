"""New settings, built and connected beside those in force: what a reload, a failover or a switchover goes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import FirstError, TimeoutError, gatherResults
from twisted.internet.interfaces import IReactorTime

from redisproxy.dataplane.message_streams import MessageStreams
from redisproxy.dataplane.server_commands import Known, known_of
from redisproxy.dataplane.watches import Watches
from redisproxy.net.deferreds import first_cause
from redisproxy.net.errors import UplinkUnavailable

if TYPE_CHECKING:
    from redisproxy import config
    from redisproxy.client import Client
    from redisproxy.dataplane.blocked_clients import BlockedClients
    from redisproxy.dataplane.in_force import InForce
    from redisproxy.dataplane.listeners import Listeners
    from redisproxy.forwarding.interfaces import Key
    from redisproxy.net.tls import ServerTLS
    from redisproxy.shared.core import Core
    from redisproxy.shared.registry import ClientRegistry
    from redisproxy.uplink import UplinkSet

MAX_FREE = 64
"""Pinned connections that nobody holds at this moment are wanted again soon, up to this many."""


class PreparedMove:
    """One move, from what is in force to `settings`.

    @param certificates: of the listeners, in their sequence; None for one that stays as it is.
    @ivar watches: what becomes of WATCHes.
    """

    def __init__(
        self,
        settings: config.Settings,
        uplinks: UplinkSet,
        certificates: Sequence[ServerTLS | None],
        core: Core,
        registry: ClientRegistry[Client],
        in_force: InForce,
        listeners: Listeners,
        blocked: BlockedClients,
        clock: IReactorTime,
    ) -> None:
        self._settings = settings
        self._uplinks = uplinks
        self._certificates = certificates
        self._scripts = core.scripts
        self._registry = registry
        self._in_force = in_force
        self._listeners = listeners
        self._blocked = blocked
        self._known = Known()
        self._loaded: set[bytes] = set()
        limit_s = settings.uplink.connect_timeout_ms / 1000
        self._streams = MessageStreams(registry, uplinks, clock, limit_s)
        self.watches = Watches(registry, uplinks, clock, limit_s)

    async def connect(self) -> None:
        """Log in at the new server, with a shared connection for every database that clients use now.

        @raise UplinkError: it can't be reached, refuses the password, or lacks a database.
        """
        keys = {(0, 2), *(client.session.key for client in self._registry)}
        await self._uplinks.warm_up.connect_now((0, 2))
        if self._settings.uplink.multiplex:
            for key in keys:
                await self._uplinks.acquire_shared(key)
        self._known = await known_of(self._uplinks)
        await self._load_scripts()
        await self._streams.open()
        await self._streams.go_ahead()
        await self._uplinks.warm_up.open_pinned(self._pinned_keys())
        await self._blocked.call_back()

    def _pinned_keys(self) -> list[Key]:
        """What clients hold now, and will want all at once when they go on; subscribers have had theirs."""
        pinned = [client for client in self._registry if client.route.pinned]
        free = len(self._in_force.uplinks.pinned_connections) - len(pinned)
        held = [client.session.key for client in pinned if client.route.stream is None]
        return [*held, *([(0, 2)] * min(free, MAX_FREE))]

    async def bring(self) -> None:
        """Bring what clients have at the old server, and is not data, to the new one. The gate is closed.

        @raise UplinkError: the connection was lost.
        """
        await self._load_scripts()
        await self._uplinks.warm_up.learn_role()
        await self._streams.copy()
        await self.watches.renew(self._streams.connections())

    async def _load_scripts(self) -> None:
        missing = self._scripts.missing(self._loaded)
        if not missing:
            return
        self._loaded.update(missing)
        loads = [self._uplinks.own_commands.ask("SCRIPT", "LOAD", body) for body in missing]
        context, loading = self._uplinks.context, gatherResults(loads, consumeErrors=True)
        try:
            await loading.addTimeout(context.limits.connect_timeout_s, context.clock)
        except TimeoutError:
            raise UplinkUnavailable("the scripts could not be loaded in time") from None
        except FirstError as error:
            raise UplinkUnavailable(f"the scripts could not be loaded: {first_cause(error)}") from None

    def swap(self) -> None:
        """Put it in force."""
        self._streams.change_over(self.watches.on_copies)
        self.watches.change_over()
        self._listeners.take_certificates(self._certificates)
        self._in_force.take(self._settings, self._uplinks, self._known)

    def abandon(self) -> None:
        """Close what was opened for it."""
        self._uplinks.close()
        self._blocked.let_go()
