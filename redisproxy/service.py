"""Builds the data plane (here or of workers), the control plane and the admin site; starts and stops them in order."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from redisproxy import config
from redisproxy.admin import make_site
from redisproxy.config.certificates import TLSFault
from redisproxy.control.configuration import Configuration
from redisproxy.control.control import Control
from redisproxy.control.service_manager import ServiceManager
from redisproxy.control.signals import Signals
from redisproxy.dataplane import garbage_collection
from redisproxy.dataplane.local import LocalDataPlane
from redisproxy.forwarding import twins
from redisproxy.net import open_files, passed_sockets
from redisproxy.net.network import best_network, open_ports
from redisproxy.net.passed_sockets import PassedSocketFault
from redisproxy.remote import peer
from redisproxy.remote.run_directory import RunDirectory, RunDirectoryFault, run_directory
from redisproxy.workers.data_plane import WorkersDataPlane
from redisproxy.workers.here import Here
from redisproxy.workers.share import files_of_one

if TYPE_CHECKING:
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.net.network import Network


def _cannot_listen(error: CannotListenError) -> str:
    """What Twisted's error says, in one line."""
    place = f"{error.interface}:{error.port}" if isinstance(error.port, int) else str(error.port)
    cause = getattr(error.socketError, "strerror", None) or str(error.socketError)
    return f"can't listen on {place}: {cause}"


Reach = Callable[["LocalDataPlane", "Configuration"], "DataPlane"]
"""How the control plane reaches the data plane."""


def in_this_process(dataplane: LocalDataPlane, configuration: Configuration) -> DataPlane:
    """By calls."""
    return dataplane


class Ports(Protocol):
    """The addresses at which clients are accepted.

    @ivar ports: those that are open.
    """

    @property
    def ports(self) -> Sequence[object]: ...

    def open(self, passed: Mapping[config.Address, Sequence[socket.socket]]) -> None:
        """Listen at every address.

        @param passed: sockets that listen there already, by address; the others are bound.
        @raise CannotListenError: one can't be bound; the others are closed again.
        """

    def close_at_once(self) -> None:
        """Give the addresses up without waiting for it; for a start that has failed."""


class Proxy(Service):
    """The proxy as a Twisted service, whatever its data plane is.

    @param configuration: what is in force. @param dataplane: what the control plane drives.
    @param ports: of clients. @param manager: what is told how the process is doing.
    """

    log = Logger(namespace="redisproxy")

    def __init__(
        self,
        configuration: Configuration,
        dataplane: DataPlane,
        ports: Ports,
        network: Network,
        reactor: Any,
        jitter: Callable[[float, float], float] = random.uniform,
        manager: ServiceManager | None = None,
    ) -> None:
        self.setName("redisproxy")
        self._settings = configuration.settings
        self._network = network
        self._ports = ports
        self.control = Control(configuration, dataplane, network, reactor, jitter)
        self._reactor = reactor
        self._manager = manager or ServiceManager()
        self._admin: list[IListeningPort] = []
        self._signals = Signals(reactor, self._reload, self.control.shutdown.hurry)

    # -- starting

    def bind(self, environ: Mapping[str, str]) -> None:
        """Listen at every address, unless that has been done.

        @param environ: tells of sockets that the process was started with.
        @raise SystemExit: one can't be bound, or a passed socket can't be used; twistd and twist print its text and
            end, with no traceback.
        """
        if self._ports.ports:
            return
        try:
            passed = passed_sockets.assign(passed_sockets.take(environ), self._settings)
            self._ports.open(passed)
            self._open_admin(passed)
        except PassedSocketFault as error:
            raise SystemExit(f"redisproxy can't start: {error}") from None
        except CannotListenError as error:
            self._ports.close_at_once()
            raise SystemExit(f"redisproxy can't start: {_cannot_listen(error)}") from None

    def _open_admin(self, passed: Mapping[config.Address, Sequence[socket.socket]]) -> None:
        admin, configuration, metrics = self._settings.admin, self.control.configuration, self.control.metrics
        if admin is not None:
            site = make_site(self.control.operations, lambda: configuration.admin_users, metrics)
            self._admin = open_ports(self._network, admin, site, configuration.admin_tls, passed)

    def startService(self) -> None:
        """Begin to serve: connect to the uplink, watch the time, answer SIGHUP."""
        super().startService()
        self.bind({})
        if shortage := open_files.shortage(files_of_one(self._settings), open_files.raise_limit()):
            self.log.warn("{shortage}", shortage=shortage)
        self.begin()
        self._signals.install()
        # After the signals, of which some are taken a turn later, too.
        self._reactor.callWhenRunning(self._reactor.callLater, 0, self._manager.ready, "running")
        garbage_collection.leave_out_what_there_is()
        reason = "" if twins.NATIVE else f" ({twins.NATIVE_REASON})"
        network = self._network.name
        count = self._settings.worker_count
        workers = f", with {count} workers" if count > 1 else ""
        self.log.info(
            "redisproxy is running on {network} transports{reason}{workers}",
            network=network,
            reason=reason,
            workers=workers,
        )

    def begin(self) -> None:
        """Connect to the uplink and watch the time: what needs neither ports nor signals."""
        self.control.start()

    def _reload(self) -> None:
        """For a SIGHUP."""
        reloading = self.control.reload.on_signal()
        if self.running:
            self._manager.reloading()
            reloading.addCallback(self._reloaded)

    def _reloaded(self, _: None) -> None:
        if self.running:
            error = self.control.results.reload.get("error")
            self._manager.ready(f"running; the last reload was rejected: {error}" if error else "running")

    # -- stopping

    def stopService(self) -> Deferred[None]:
        """Stop listening, let clients leave and what is in flight finish within the bounds, close everything."""
        super().stopService()
        self._manager.stopping(self.control.shutdown.longest_s)
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        await self.control.stop()
        self._signals.restore()
        admin, self._admin = self._admin, []
        for port in admin:
            await maybeDeferred(port.stopListening)


class ProxyService(Proxy):
    """The proxy in one process.

    @param config_path: the file that a reload reads again.
    @param settings: what it held at the start.
    @param network: the best one that there is when left out.
    @param jitter: a number between two others; what is waited for before another attempt is multiplied with it.
    @param reach: gives the control plane its data plane.
    @param manager: what is told how the process is doing; nobody when left out.
    """

    def __init__(
        self,
        config_path: str,
        settings: config.Settings,
        reactor: Any,
        network: Network | None = None,
        jitter: Callable[[float, float], float] = random.uniform,
        reach: Reach = in_this_process,
        manager: ServiceManager | None = None,
    ) -> None:
        network = network or best_network(reactor)
        peers = partial(peer.reach, reactor)
        self.dataplane = LocalDataPlane(settings, reactor, network, jitter, reach=peers)
        configuration = Configuration(config_path, settings, network, reactor)
        reached = reach(self.dataplane, configuration)
        super().__init__(configuration, reached, self.dataplane.listeners, network, reactor, jitter, manager)


class WorkersService(Proxy):
    """The control process of a proxy with workers, or beside data planes of other processes; see L{ProxyService}.

    @param directory: where data planes of other processes listen.
    """

    def __init__(
        self,
        config_path: str,
        settings: config.Settings,
        reactor: Any,
        manager: ServiceManager,
        directory: RunDirectory,
    ) -> None:
        """
        @raise SystemExit: the directory can't be used.
        """
        network = best_network(reactor)
        try:
            directory.make()
        except RunDirectoryFault as error:
            raise SystemExit(f"redisproxy can't start: {error}") from None
        self._configuration = Configuration(config_path, settings, network, reactor)
        here = None if settings.worker_count > 1 else _here(settings, reactor, network, directory)
        self.dataplane = WorkersDataPlane(
            settings, reactor, directory, here, self._found_in_force, lambda: self.control.reload.on_signal()
        )
        super().__init__(self._configuration, self.dataplane, self.dataplane.ports, network, reactor, manager=manager)

    def _found_in_force(self, settings: config.Settings) -> None:
        try:
            self._configuration.found_in_force(settings)
        except TLSFault as error:
            self.log.error("the settings of the workers that were found are not taken: {error}", error=str(error))


def _here(settings: config.Settings, reactor: Any, network: Any, directory: RunDirectory) -> Here:
    """The data plane of this process, beside others."""
    plane = LocalDataPlane(settings, reactor, network, reach=partial(peer.reach, reactor))
    return Here(plane, settings, network, directory.sockets(f"p-{os.getpid()}").clients)


def service_of(config_path: str, settings: config.Settings, reactor: Any, manager: ServiceManager) -> Proxy:
    """The service for these settings.

    @raise SystemExit: the run directory can't be used.
    """
    directory = run_directory(settings.run_directory, config_path, os.environ)
    if settings.worker_count > 1 or directory.living():
        return WorkersService(config_path, settings, reactor, manager, directory)
    return ProxyService(config_path, settings, reactor, manager=manager)
