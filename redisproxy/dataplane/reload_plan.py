"""A new configuration, built and connected beside the running one: what a reload or a switchover puts in force."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, FirstError, TimeoutError, ensureDeferred, gatherResults

from redisproxy import config
from redisproxy.commands.lookup import in_table, learn
from redisproxy.commands.treatment import Treatment
from redisproxy.dataplane.subscriptions import Subscribers
from redisproxy.dataplane.watches import Watches
from redisproxy.net.deferreds import first_cause
from redisproxy.net.errors import ServerBusy, UplinkUnavailable, is_busy
from redisproxy.net.tls import server_tls
from redisproxy.resp import RespError
from redisproxy.servers.state import parse_info

if TYPE_CHECKING:
    from redisproxy.dataplane.proxy import Proxy
    from redisproxy.forwarding.interfaces import Key
    from redisproxy.sentinel.finder import Finder
    from redisproxy.uplink import UplinkSet

LEARNED_AT_ONCE = 10
MAX_FREE = 64
"""Pinned connections that nobody holds at this moment are wanted again soon, up to this many."""


@dataclass(frozen=True)
class Known:
    """What a server has told of itself.

    @ivar commands: those that the table does not know; nothing when it does not tell.
    @ivar run_id: names the process; empty when it does not tell.
    """

    commands: dict[str, Treatment] = field(default_factory=dict)
    run_id: str = ""


async def known_of(uplinks: UplinkSet) -> Known:
    """Ask a server what the proxy has to know of it.

    @raise UplinkError: there was no connection.
    """
    asked: list[Deferred[Any]] = [ensureDeferred(commands_of(uplinks)), uplinks.own_commands.ask("INFO", "server")]
    answers = gatherResults(asked, consumeErrors=True)
    try:
        commands, info = await answers.addTimeout(uplinks.context.limits.connect_timeout_s, uplinks.context.clock)
    except TimeoutError:
        raise UplinkUnavailable("the server does not answer") from None
    except FirstError as error:
        raise UplinkUnavailable(first_cause(error)) from None
    if isinstance(info, RespError) and is_busy(info.text):
        raise ServerBusy(info.text)
    text = info.decode("utf-8", "replace") if isinstance(info, bytes) else ""
    return Known(commands, parse_info(text).get("run_id", ""))


async def commands_of(uplinks: UplinkSet) -> dict[str, Treatment]:
    """Ask for commands that the table does not know, some at a time: parsing all at once would hold clients up."""
    listed = await uplinks.own_commands.ask("COMMAND", "LIST")
    if not isinstance(listed, list):
        return learn(await uplinks.own_commands.ask("COMMAND"))  # before Redis 7, and much shorter there
    names = [name for name in listed if isinstance(name, bytes) and b"|" not in name and not in_table(name)]
    learned: dict[str, Treatment] = {}
    for at in range(0, len(names), LEARNED_AT_ONCE):
        learned |= learn(await uplinks.own_commands.ask("COMMAND", "INFO", *names[at : at + LEARNED_AT_ONCE]))
    return learned


class ReloadPlan:
    """A new configuration, built beside the running one.

    @ivar changed: the key paths in which it differs.
    """

    def __init__(
        self, proxy: Proxy, settings: config.Settings, finder: Finder | None, same_listeners: bool = False
    ) -> None:
        """
        @param finder: the sentinels of `settings`, if it has any.
        @param same_listeners: leave the listeners' certificates as they are.
        @raise TLSFault: the certificates can't be used.
        """
        self._proxy = proxy
        self._finder = finder
        self.settings = settings
        self.changed = config.differences(proxy.settings, settings)
        endpoints = [*settings.listen, *settings.listen_raw, *([settings.admin] if settings.admin else [])]
        timeout_s = settings.limits.handshake_timeout_ms / 1000
        self._contexts = [
            server_tls(endpoint, timeout_s) if endpoint.tls and not same_listeners else None for endpoint in endpoints
        ]
        self._uplinks = proxy.make_uplinks(settings)
        self._known = Known()
        self._loaded: set[bytes] = set()
        limit_s = settings.uplink.connect_timeout_ms / 1000
        self._subscribers = Subscribers(proxy.registry, self._uplinks, proxy.clock, limit_s)
        self.watches = Watches(proxy.registry, self._uplinks, proxy.clock, limit_s)

    async def connect(self) -> None:
        """Log in at the new uplink, with a shared connection for every database that clients use now.

        @raise UplinkError: it can't be reached, refuses the password, or lacks a database.
        """
        keys = {(0, 2), *(client.session.key for client in self._proxy.registry)}
        await self._uplinks.warm_up.connect_now((0, 2))
        if self.settings.uplink.multiplex:
            for key in keys:
                await self._uplinks.acquire_shared(key)
        self._known = await known_of(self._uplinks)
        await self._load_scripts()
        await self._subscribers.open()
        await self._subscribers.go_ahead()
        await self._uplinks.warm_up.open_pinned(self._pinned_keys())
        await self._proxy.recall.call_back()

    def _pinned_keys(self) -> list[Key]:
        """What clients hold now, and will want all at once when they go on; subscribers have had theirs."""
        pinned = [client for client in self._proxy.registry if client.route.pinned]
        free = len(self._proxy.uplinks.pinned_connections) - len(pinned)
        held = [client.session.key for client in pinned if client.route.stream is None]
        return [*held, *([(0, 2)] * min(free, MAX_FREE))]

    async def prepare(self) -> None:
        """Bring what clients have at the old server, and is not data, to the new one. The gate is closed.

        @raise UplinkError: the connection was lost.
        """
        await self._load_scripts()
        await self._uplinks.warm_up.learn_role()
        await self._subscribers.copy()
        await self.watches.renew(self._subscribers.connections())

    async def _load_scripts(self) -> None:
        missing = self._proxy.core.scripts.missing(self._loaded)
        if not missing:
            return
        self._loaded.update(missing)
        loading = gatherResults(
            [self._uplinks.own_commands.ask("SCRIPT", "LOAD", body) for body in missing], consumeErrors=True
        )
        try:
            await loading.addTimeout(self._uplinks.context.limits.connect_timeout_s, self._uplinks.context.clock)
        except TimeoutError:
            raise UplinkUnavailable("the scripts could not be loaded in time") from None
        except FirstError as error:
            raise UplinkUnavailable(f"the scripts could not be loaded: {first_cause(error)}") from None

    def swap(self) -> None:
        """Put it in force."""
        self._subscribers.change_over(self.watches.on_copies)
        self.watches.change_over()
        self._proxy.take(self.settings, self._uplinks, self._contexts, self._known, self._finder)

    def abandon(self) -> None:
        """Close what was opened for it."""
        self._uplinks.close()
        self._proxy.recall.let_go()
