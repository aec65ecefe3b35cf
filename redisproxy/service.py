"""Builds the graph of objects, starts and stops it in order, and reloads it. The only module that knows everything."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy import config
from redisproxy.admin import make_site
from redisproxy.control.control import SHUTTING_DOWN, Control
from redisproxy.control.failover import Follower
from redisproxy.control.interfaces import Answer
from redisproxy.control.signals import Signals
from redisproxy.dataplane import garbage, info
from redisproxy.dataplane.listeners import Listeners
from redisproxy.dataplane.notice import give_notice
from redisproxy.dataplane.proxy import Proxy
from redisproxy.forwarding import twins
from redisproxy.forwarding.gate import SHUTDOWN, GateReopened
from redisproxy.net import open_files
from redisproxy.net.network import best_network

if TYPE_CHECKING:
    from redisproxy.net.network import Network

SUPERVISE_S = 0.1


def _cannot_listen(error: CannotListenError) -> str:
    """What Twisted's error says, in one line."""
    place = f"{error.interface}:{error.port}" if isinstance(error.port, int) else str(error.port)
    cause = getattr(error.socketError, "strerror", None) or str(error.socketError)
    return f"can't listen on {place}: {cause}"


class ProxyService(Service):
    """The proxy as a Twisted service.

    @param config_path: the file that a reload reads again.
    @param settings: what it held at the start.
    @param network: the best one that there is when left out.
    @param jitter: see L{Proxy}.
    """

    log = Logger(namespace="redisproxy")

    def __init__(
        self,
        config_path: str,
        settings: config.Settings,
        reactor: Any,
        network: Network | None = None,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.setName("redisproxy")
        self._reactor = reactor
        self.network = network or best_network(reactor)
        self.proxy = Proxy(config_path, settings, reactor, self.network, jitter)
        self.control = Control(self.proxy)
        self.listeners = Listeners(self.proxy, self.network)
        self.started = 0.0
        self._follower = Follower(self.proxy, self.control, reactor)
        self._supervision = LoopingCall(self._supervise)
        self._supervision.clock = reactor
        self._signals = Signals(reactor, self.control.reload_on_signal)

    # -- starting

    def bind(self) -> None:
        """Bind every address, unless that has been done.

        @raise SystemExit: one can't be bound; twistd and twist print its text and end, with no traceback.
        """
        if self.listeners.ports:
            return
        try:
            self.listeners.open(make_site(self, self.proxy.admin_credentials, self.proxy.metrics))
        except CannotListenError as error:
            raise SystemExit(f"redisproxy can't start: {_cannot_listen(error)}") from None

    def startService(self) -> None:
        """Begin to serve: connect to the uplink, watch the time, answer SIGHUP."""
        super().startService()
        self.started = self._reactor.seconds()
        self.bind()
        if shortage := open_files.shortage(self.proxy.settings, open_files.raise_limit()):
            self.log.warn("{shortage}", shortage=shortage)
        self.begin()
        self._signals.install()
        garbage.leave_out_what_there_is()
        reason = "" if twins.NATIVE else f" ({twins.NATIVE_REASON})"
        self.log.info("redisproxy is running on {network} transports{reason}", network=self.network.name, reason=reason)

    def begin(self) -> None:
        """Connect to the uplink and watch the time: what needs neither ports nor signals."""
        self.proxy.start()
        self._follower.tick()
        self._supervision.start(SUPERVISE_S, now=False).addErrback(self._supervision_failed)

    def _supervise(self) -> None:
        self.proxy.supervise()
        self._follower.tick()

    def _supervision_failed(self, failure: Failure) -> None:
        self.log.failure("supervision failed", failure=failure)

    # -- stopping

    def stopService(self) -> Deferred[None]:
        """Stop listening, let what is in flight finish within the bound, close everything."""
        super().stopService()
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        self._signals.restore()
        self._follower.stop()
        await self.control.stop()
        await self.listeners.close_clients()
        await self._give_notice()
        self.proxy.gate.close(SHUTDOWN)
        self.proxy.gate_closed()
        try:
            dropped = await self.control.drain(self.proxy.settings.shutdown.drain_deadline_ms / 1000)
        except GateReopened:
            dropped = []
        if dropped:
            self.log.warn("{count} clients were still waiting for replies", count=len(dropped))
        await self._close_clients()
        if self._supervision.running:
            self._supervision.stop()
        self.proxy.stop()
        await self.listeners.close_admin()

    async def _give_notice(self) -> None:
        shutdown, maintenance = self.proxy.settings.shutdown, self.proxy.core.maintenance
        wait_s, within_s = shutdown.notice_ms / 1000, (shutdown.notice_ms or shutdown.drain_deadline_ms) / 1000
        await give_notice(maintenance, self._reactor, within_s, wait_s, shutdown.moving_to or "")

    async def _close_clients(self) -> None:
        self.proxy.raw.terminate_all()
        for client in self.proxy.registry:
            client.closing.close()
        # Their last replies get a moment to leave; a client that does not read is not waited for.
        for _ in range(20):
            if not len(self.proxy.registry) and not len(self.proxy.raw):
                break
            await self._sleep(0.05)
        for client in self.proxy.registry:
            client.closing.abort()

    def _sleep(self, seconds: float) -> Deferred[None]:
        fired: Deferred[None] = Deferred()
        self._reactor.callLater(seconds, fired.callback, None)
        return fired

    # -- admin.Operations

    def pause(self) -> Answer:
        """Close the gate."""
        return self.control.pause()

    def pause_and_wait(self, timeout_ms: int | None) -> Deferred[Answer]:
        """Close the gate and tell when every client is suspended."""
        return self.control.pause_and_wait(timeout_ms)

    def unpause(self) -> Answer:
        """Open the gate."""
        return self.control.unpause()

    def reload(self) -> Deferred[Answer]:
        """Take the configuration file as it is now."""
        return self.control.reload()

    def switchover(self, dry_run: bool) -> Deferred[Answer]:
        """Move the data and the clients to the uplink that the configuration file names now."""
        return self.control.switchover(dry_run)

    def switchover_go_on(self) -> Answer:
        """In external mode: the new server is promoted."""
        return self.control.go_on()

    def terminate_raw_connections(self) -> Answer:
        """Close every raw connection."""
        return {"terminated": self.proxy.raw.terminate_all()}

    def info(self) -> Answer:
        """All that the pages show; no secrets."""
        return info.describe(self.proxy, self.control, self.network, self._reactor.seconds() - self.started)

    def gauges(self) -> Mapping[str, float]:
        """What the metrics page reads at the moment it is asked."""
        return info.gauges(self.proxy)

    def ready(self) -> tuple[bool, str]:
        """Whether commands get through right now, of new clients, too, and why not."""
        if not self.listeners.ports:
            return False, SHUTTING_DOWN
        return info.ready(self.proxy)
