"""The running proxy: the command path's shared parts, the uplink of the moment, and how both are replaced."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy import config
from redisproxy.client import Client, ClientFactory
from redisproxy.commands.lookup import CommandTable
from redisproxy.commands.treatment import Treatment
from redisproxy.config.authentication import Authenticator
from redisproxy.config.certificates import TLSFault
from redisproxy.control.interfaces import Answer, Rejected
from redisproxy.control.relocation import Gatekeeper, Relocation
from redisproxy.dataplane.reload_plan import Known, ReloadPlan, known_of
from redisproxy.dataplane.unblocking import Recall
from redisproxy.figures.metrics import Metrics
from redisproxy.forwarding.gate import Gate
from redisproxy.net import tls
from redisproxy.net.dialing import uplink_dial
from redisproxy.net.errors import UplinkError
from redisproxy.net.raw_relay import RawFactory
from redisproxy.net.tls import ServerTLS
from redisproxy.sentinel.finder import Finder
from redisproxy.servers.credentials import credentials_of
from redisproxy.servers.interrupted_switchover import look_for_fence
from redisproxy.servers.redis_server import open_control
from redisproxy.shared.core import ClientLimits, Core
from redisproxy.shared.registry import ClientRegistry
from redisproxy.uplink import BUSY, UplinkContext, UplinkLimits, UplinkSet

if TYPE_CHECKING:
    from redisproxy.net.network import Network

TICK_S = 1.0


class Proxy:
    """Everything but the ports and the admin pages.

    @ivar settings: the configuration in force; a reload replaces it.
    @ivar finder: the sentinels that tell where the uplink is, if there are any.
    @ivar recall: calls clients with blocking commands back from the server.
    @ivar advice: what an operator should know about the uplink; empty when nothing is the matter.
    """

    log = Logger(namespace="redisproxy")

    def __init__(
        self,
        config_path: str,
        settings: config.Settings,
        reactor: Any,
        network: Network,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._jitter = jitter
        self.config_path = config_path
        self.settings = settings
        self.clock = reactor
        self.network = network
        self.metrics = Metrics()
        self.gate = Gate(reactor, self.metrics.flow)
        self.registry: ClientRegistry[Client] = ClientRegistry(self.metrics, settings.limits.max_clients)
        self.server_tls: list[ServerTLS | None] = []
        self.client_factories: list[ClientFactory] = []
        self.uplinks = self.make_uplinks(settings)
        self.core = Core(self.gate, self.metrics, reactor, self.uplinks)
        self.recall = Recall(self.registry, self.core.blocked_commands, self.gate, reactor)
        self.raw = RawFactory(self.raw_connect(settings), settings.limits.max_raw_connections, self.metrics)
        self.admin_auth = self.admin_authenticator(settings)
        self.learned: dict[str, Treatment] = {}
        self.run_id = ""
        self.advice = ""
        self.finder: Finder | None = None
        self.finder = self._finder_of(settings)
        self._ticked = 0.0
        self._left: list[UplinkSet] = []
        self._learning: Deferred[None] | None = None
        self._looking: Deferred[None] | None = None
        self._apply(settings)

    # -- building

    def make_uplinks(self, settings: config.Settings) -> UplinkSet:
        """A set of connections for the uplink in `settings`; nothing is connected yet.

        @raise TLSFault: its certificates can't be used.
        """
        uplink = settings.uplink
        credentials = credentials_of(uplink)
        limits = UplinkLimits(
            connect_timeout_s=uplink.connect_timeout_ms / 1000,
            wait_limit_s=uplink.wait_limit_ms / 1000,
            backoff_min_s=uplink.reconnect_min_ms / 1000,
            backoff_max_s=uplink.reconnect_max_ms / 1000,
            max_pinned=uplink.max_pinned,
            ping_interval_s=uplink.ping_interval_ms / 1000,
            ping_timeout_s=uplink.ping_timeout_ms / 1000,
        )
        context = UplinkContext(
            clock=self.clock,
            gate=self.gate,
            metrics=self.metrics,
            end_of_turn=self.network.end_of_turn,
            name=f"uplink {uplink.address}",
            limits=limits,
        )
        return UplinkSet(self.raw_connect(settings), credentials, context, self._jitter)

    def raw_connect(self, settings: config.Settings) -> Any:
        """A callable that opens one transport to the uplink in `settings`."""
        return uplink_dial(self.network, settings.uplink)

    @staticmethod
    def authenticator(endpoint: Any) -> Authenticator:
        """Who may use `endpoint`."""
        return Authenticator(endpoint.password, [(user.name, user.password, user.sha256) for user in endpoint.users])

    def admin_authenticator(self, settings: config.Settings) -> Authenticator | None:
        """Who may use the admin pages; None when anybody may."""
        if settings.admin is None:
            return None
        auth = self.authenticator(settings.admin)
        return auth if auth.required else None

    def admin_credentials(self) -> Authenticator | None:
        """The admin pages' users at this moment."""
        return self.admin_auth

    def _apply(self, settings: config.Settings) -> None:
        """Put everything in force that needs no connection."""
        self.settings = settings
        core, limits = self.core, settings.limits
        core.multiplex = settings.uplink.multiplex
        core.limits = ClientLimits(
            max_held_request_bytes=limits.max_held_request_bytes,
            max_bulk_bytes=limits.max_bulk_bytes,
            max_in_flight=limits.max_in_flight_per_client,
            output_hard_bytes=limits.client_output_hard_bytes,
            max_transaction_bytes=limits.max_transaction_bytes,
            max_transaction_commands=limits.max_transaction_commands,
            max_failed_logins=limits.max_failed_logins,
            max_dedicated=min(settings.uplink.max_dedicated, settings.uplink.max_pinned // 2),
        )
        core.cursors.lenient = settings.allow_scan_across_switch
        core.scripts.max_bytes = limits.max_script_bytes
        self.registry.max_clients = limits.max_clients
        self.raw.max_connections = limits.max_raw_connections
        self.raw.connect = self.raw_connect(settings)
        self.admin_auth = self.admin_authenticator(settings)
        for factory, endpoint in zip(self.client_factories, settings.listen, strict=False):
            factory.auth = self.authenticator(endpoint)
            factory.keepalive = endpoint.tcp_keepalive
        self._apply_table()

    def _apply_table(self) -> None:
        """Have clients stop at the commands that are special now; only if need be, because there may be many."""
        core, settings = self.core, self.settings
        before = core.table.special, core.log_messages
        core.table = CommandTable(settings.allow_commands, self.learned, settings.pubsub)
        core.log_messages = settings.log_messages
        if (core.table.special, core.log_messages) != before:
            for client in self.registry:
                client.apply_framing()

    # -- running

    def start(self) -> None:
        """Connect to the uplink; when that fails it is tried again for as long as the proxy runs."""
        self._connect_ahead()
        self._learning = ensureDeferred(self._learn_commands()).addErrback(self._gave_up)

    def look_at_uplink(self) -> None:
        """See whether an interrupted switchover has left the uplink unable to take writes, and say so."""
        if self._looking is None or self._looking.called:
            self._looking = ensureDeferred(self._look_at_uplink()).addErrback(self._gave_up)

    def _gave_up(self, failure: Failure) -> None:
        if not failure.check(UplinkError, CancelledError):
            self.log.failure("looking at the uplink failed", failure=failure)

    async def _look_at_uplink(self) -> None:
        settings = self.settings
        uplink, name = settings.uplink, f"uplink {settings.uplink.address}"
        timeout_s = uplink.connect_timeout_ms / 1000
        connect = self.raw_connect(settings)
        server = await open_control(name, connect, credentials_of(uplink), self.clock, timeout_s)
        advice = await look_for_fence(server)
        if settings is self.settings:
            before, self.advice = self.advice, advice
            if advice and advice != before:
                self.log.error("{name}: {advice}", name=name, advice=advice)

    async def _learn_commands(self) -> None:
        """Ask the server for the commands that the table does not know, again until it has answered."""
        known = None
        while known is None:
            try:
                known = await known_of(self.uplinks)
            except UplinkError:
                await deferLater(self.clock, TICK_S, lambda: None)
        self.run_id = known.run_id
        self.learned = known.commands
        self._apply_table()
        self.look_at_uplink()

    def _connect_ahead(self) -> None:
        if not self.uplinks.registry.connected and not self.uplinks.closed:
            self.uplinks.warm_up.connect()

    def stop(self) -> None:
        """Close every uplink connection, and open no more."""
        for work in (self._learning, self._looking):
            if work is not None:
                work.cancel()
        self.core.maintenance.stop()
        for uplinks in (*self._left, self.uplinks):
            uplinks.stop()

    def supervise(self) -> None:
        """Look at the clock for everybody: commands that take too long, idle clients, idle connections."""
        now = self.clock.seconds()
        self.uplinks.head_of_line.check(now, self._dedicate)
        if self.settings.read_time_limit_ms:
            self._end_overdue(now, self.settings.read_time_limit_ms / 1000)
        if now - self._ticked >= TICK_S:
            self._ticked = now
            self.uplinks.tick(now)
            self._connect_ahead()
            if self.advice:
                self.look_at_uplink()
            self._end_idle(now, self.settings.idle_timeout_ms / 1000)

    @staticmethod
    def _dedicate(client: object) -> None:
        if isinstance(client, Client):
            client.share.dedicate()

    def _end_overdue(self, now: float, limit_s: float) -> None:
        for connection, client in self.uplinks.registry.overdue(now, limit_s):
            if isinstance(client, Client) and not client.closed:
                client.closing.drop("time_limit")
            else:
                # Its client has gone and the server still does not answer: nobody behind it gets anywhere.
                connection.abort()

    def _end_idle(self, now: float, limit_s: float) -> None:
        for client in self.registry:
            if client.lane.active:
                client.lane.active = False
                client.identity.last_seen = now
            elif limit_s and now - client.identity.last_seen >= limit_s and client.idle:
                client.closing.drop("idle")
            client.second_passed(now)

    # -- sentinel.follower.Followed

    @property
    def server(self) -> config.Address:
        """The Redis server in use."""
        return self.settings.uplink.address

    @property
    def connected(self) -> bool:
        """Whether there is a connection to it."""
        return self.uplinks.registry.connected

    # -- controlled.Proxy

    @property
    def busy(self) -> str:
        """What to do when the server answers nobody because of a script; empty when it does not run one for long."""
        return BUSY if self.uplinks.busy_probe.busy else ""

    @property
    def drain_limit_s(self) -> float:
        """How long a pause waits for what is in flight."""
        limit_ms: int = self.settings.pause.drain_deadline_ms
        return limit_ms / 1000

    def gate_closed(self) -> None:
        """The gate has closed."""
        self.recall.gate_closed()
        self.core.maintenance.gate_closed()

    def gate_opened(self) -> None:
        """The gate may have opened."""
        self.recall.let_go()
        self.core.maintenance.gate_opened()

    def drop_in_flight(self) -> list[Answer]:
        """Close what is still in flight; name each client that lost its connection."""
        now = self.clock.seconds()
        dropped = []
        for client in self.uplinks.registry.drop_in_flight():
            if isinstance(client, Client) and not client.closed:
                dropped.append(self._named(client, now))
                client.closing.drop("drain_deadline")
        return dropped

    @staticmethod
    def _named(client: Client, now: float) -> Answer:
        return {
            "id": client.id,
            "addr": client.address,
            "name": client.session.name.decode("latin-1"),
            "cmd": client.identity.last_command.decode("latin-1").lower(),
            "pending": client.lane.pending,
            "age_s": round(now - client.identity.created, 1),
        }

    def name_in_flight(self) -> list[Answer]:
        """Name each client that waits for a reply of the server."""
        now = self.clock.seconds()
        clients = self.uplinks.registry.clients_in_flight()
        return [self._named(client, now) for client in clients if isinstance(client, Client)]

    async def prepare_reload(self) -> ReloadPlan:
        """Read and check the file and connect to its uplink; nothing changes.

        @raise Rejected: why the new configuration is not taken.
        """
        try:
            settings = self._read()
            finder = self._finder_of(settings)
            if finder is not None:
                settings = settings.with_primary_at(await finder.find())
            return await self._opened(ReloadPlan(self, settings, finder))
        except UplinkError as error:
            raise Rejected(f"uplink: {error}") from error
        except TLSFault as error:
            raise Rejected(str(error)) from error

    async def prepare_move(self, address: config.TcpAddress) -> ReloadPlan:
        """Connect to the uplink's new primary; nothing changes.

        @raise Rejected: its certificates can't be used.
        @raise UplinkError: it can't be reached, refuses the password, or lacks a database.
        """
        try:
            plan = ReloadPlan(self, self.settings.with_primary_at(address), self.finder, same_listeners=True)
        except TLSFault as error:
            raise Rejected(f"uplink.{error}") from error
        return await self._opened(plan)

    @staticmethod
    async def _opened(plan: ReloadPlan) -> ReloadPlan:
        try:
            await plan.connect()
        except BaseException:
            plan.abandon()
            raise
        return plan

    def prepare_switchover(self, gatekeeper: Gatekeeper) -> Relocation:
        """Read and check the file; its uplink is where the switchover goes.

        @raise Rejected: why the new configuration is not taken.
        """
        settings = self._read()
        if settings.uplink.sentinels or self.settings.uplink.sentinels:
            raise Rejected(
                "uplink.sentinels: a server that Sentinel watches can't be moved by the proxy, Sentinel would undo it;"
                f" SENTINEL FAILOVER {settings.uplink.master_name or self.settings.uplink.master_name} moves it"
            )
        plan = self._plan(settings)
        if plan.settings.uplink.address == self.settings.uplink.address:
            plan.abandon()
            raise Rejected(
                f"uplink: the configuration file still names {self.settings.uplink.address}, the server in use now;"
                " point it at the new one first"
            )
        return Relocation(self, plan, gatekeeper)

    def _read(self) -> config.Settings:
        try:
            settings = config.load(self.config_path, tls.faults)
        except config.ConfigError as error:
            raise Rejected(str(error)) from error
        fixed = config.fixed_differences(self.settings, settings)
        if fixed:
            raise Rejected("\n".join(f"{key}: can't change while the proxy runs; restart it" for key in fixed))
        return settings

    def _plan(self, settings: config.Settings) -> ReloadPlan:
        try:
            return ReloadPlan(self, settings, None)
        except TLSFault as error:
            raise Rejected(str(error)) from error

    def _finder_of(self, settings: config.Settings) -> Finder | None:
        return Finder(settings, self.network, self.clock, self.finder) if settings.uplink.sentinels else None

    def take(
        self,
        settings: config.Settings,
        uplinks: UplinkSet,
        contexts: list[ServerTLS | None],
        known: Known,
        finder: Finder | None,
    ) -> None:
        """Put a new configuration in force. The gate is closed and nothing is in flight."""
        self.finder = finder
        self.learned = known.commands
        if not known.run_id or known.run_id != self.run_id:
            self.core.cursors.server_number += 1
        self.run_id = known.run_id
        old, self.uplinks = self.uplinks, uplinks
        self.core.uplinks = uplinks
        for current, new in zip(self.server_tls, contexts, strict=True):
            if current is not None and new is not None:
                current.replace(new)
        self._apply(settings)
        self.advice = ""
        old.close()
        self._left = [each for each in (*self._left, old) if not each.quiet]
