"""The settings in force and the connections to their server: what a move replaces as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from redisproxy.commands.changed_keys import SilentChanges
from redisproxy.commands.lookup import CommandTable
from redisproxy.commands.treatment import Treatment
from redisproxy.handlers import noting
from redisproxy.shared.core import ClientLimits

if TYPE_CHECKING:
    from redisproxy import config
    from redisproxy.client import Client
    from redisproxy.dataplane.listeners import Listeners
    from redisproxy.dataplane.server_commands import Known
    from redisproxy.dataplane.uplinks import UplinkBuilder
    from redisproxy.net.raw_relay import RawFactory
    from redisproxy.shared.core import Core
    from redisproxy.shared.registry import ClientRegistry
    from redisproxy.uplink import UplinkSet


class InForce:
    """What is in force now.

    @ivar settings: a move replaces them. @ivar uplinks: the connections to their server.
    @ivar on_left: called when a move has put another server in the place of the one before.
    """

    def __init__(
        self,
        settings: config.Settings,
        uplinks: UplinkSet,
        core: Core,
        registry: ClientRegistry[Client],
        builder: UplinkBuilder,
        raw: RawFactory,
        listeners: Listeners,
    ) -> None:
        self.settings = settings
        self.uplinks = uplinks
        self._core = core
        self._registry = registry
        self._builder = builder
        self._raw = raw
        self._listeners = listeners
        self._learned: dict[str, Treatment] = {}
        self._silent = SilentChanges()
        self._run_id = ""
        self._left: list[UplinkSet] = []
        self.on_left: Callable[[], None] = lambda: None
        self._apply(settings)

    def learn(self, known: Known) -> None:
        """The server in use has told of itself for the first time."""
        self._run_id = known.run_id
        self._know(known)
        self._apply_table()

    def _know(self, known: Known) -> None:
        self._learned = known.commands
        self._silent = SilentChanges(known.writes)

    def take(self, settings: config.Settings, uplinks: UplinkSet, known: Known) -> None:
        """Put new settings in force. The gate is closed and nothing is in flight."""
        self._know(known)
        if not known.run_id or known.run_id != self._run_id:
            self._core.cursors.server_number += 1
        self._run_id = known.run_id
        old, self.uplinks = self.uplinks, uplinks
        self._core.uplinks = uplinks
        self._apply(settings)
        old.close()
        self._left = [each for each in (*self._left, old) if not each.quiet]
        self.on_left()

    def _apply(self, settings: config.Settings) -> None:
        """Put everything in force that needs no connection."""
        self.settings = settings
        core, limits = self._core, settings.limits
        core.multiplex = settings.uplink.multiplex
        core.limits = _client_limits(settings)
        core.cursors.lenient = settings.allow_scan_across_switch
        core.scripts.max_bytes = limits.max_script_bytes
        core.slow_log.apply(settings.slowlog.threshold_ms, settings.slowlog.max_entries, settings.slowlog.keys)
        core.hot_keys.apply(settings.hot_keys.sample, settings.hot_keys.kept)
        self._registry.max_clients = limits.max_clients
        self._raw.max_connections = limits.max_raw_connections
        self._raw.connect = self._builder.dial(settings)
        self._listeners.apply(settings)
        self._apply_table()

    def note(self, on: bool) -> None:
        """Note, from now on or no more, what changes keys silently."""
        self._apply_table()
        for client in self._registry if on else ():
            noting.begin(client)

    def _apply_table(self) -> None:
        """Have clients stop at the commands that are special now; only if need be, because there may be many."""
        core, settings = self._core, self.settings
        before = core.table.special, core.log_messages
        core.table = CommandTable(settings.allow_commands, self._learned, settings.pubsub, self._silent, core.notes.on)
        core.log_messages, core.log_clients = settings.log_messages, settings.log_level == "debug"
        if (core.table.special, core.log_messages) != before:
            for client in self._registry:
                client.apply_framing()

    def connect_ahead(self) -> None:
        """See to it that there is a connection, or that one is being tried."""
        if not self.uplinks.registry.connected and not self.uplinks.closed:
            self.uplinks.warm_up.connect()

    def stop(self) -> None:
        """Close every connection to this server and to those before, and open no more."""
        for uplinks in (*self._left, self.uplinks):
            uplinks.stop()


def _client_limits(settings: config.Settings) -> ClientLimits:
    limits, uplink = settings.limits, settings.uplink
    return ClientLimits(
        max_held_request_bytes=limits.max_held_request_bytes,
        max_bulk_bytes=limits.max_bulk_bytes,
        max_in_flight=limits.max_in_flight_per_client,
        output_hard_bytes=limits.client_output_hard_bytes,
        max_transaction_bytes=limits.max_transaction_bytes,
        max_transaction_commands=limits.max_transaction_commands,
        max_failed_logins=limits.max_failed_logins,
        max_dedicated=min(uplink.max_dedicated, uplink.max_pinned // 2),
    )
