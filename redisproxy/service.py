"""Builds the data plane (here or of workers), the control plane and the admin site; starts and stops them in order."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from redisproxy import config
from redisproxy.admin import make_site
from redisproxy.config.certificates import TLSFault
from redisproxy.control.configuration import Configuration
from redisproxy.control.control import Control
from redisproxy.control.logs import LoggedService
from redisproxy.control.service_manager import ServiceManager
from redisproxy.control.signals import Signals
from redisproxy.copying.separate import in_a_process_of_its_own
from redisproxy.dataplane import garbage_collection
from redisproxy.dataplane.local import LocalDataPlane
from redisproxy.fleet.fleet import Fleet
from redisproxy.forwarding import twins
from redisproxy.net import open_files, passed_sockets
from redisproxy.net.listening import Sockets, cannot_listen, sockets_for
from redisproxy.net.network import best_network
from redisproxy.net.own_ports import OwnPorts, Ports, TogetherPorts
from redisproxy.net.passed_sockets import PassedSocketFault
from redisproxy.remote import peer
from redisproxy.remote.run_directory import RunDirectory, RunDirectoryFault, run_directory
from redisproxy.telemetry.telemetry import Telemetry
from redisproxy.upgrade.carriers import Alone, Several
from redisproxy.upgrade.place import Place
from redisproxy.workers.data_plane import WorkersDataPlane
from redisproxy.workers.here import beside_others
from redisproxy.workers.share import files_of_one

if TYPE_CHECKING:
    from redisproxy.copying.interface import StartCopying
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.net.network import Network
    from redisproxy.upgrade.carriers import Carriers
    from redisproxy.upgrade.origin import Origin


Reach = Callable[["LocalDataPlane", "Configuration"], "DataPlane"]
"""How the control plane reaches the data plane."""


def in_this_process(dataplane: LocalDataPlane, configuration: Configuration) -> DataPlane:
    """By calls."""
    return dataplane


class Proxy(LoggedService):
    """The proxy as a Twisted service, whatever its data plane is.

    @param configuration: what is in force. @param dataplane: what the control plane drives.
    @param ports: of clients. @param manager: what is told how the process is doing.
    @param start_copying: what switchovers copy with; this process does it itself when left out.
    @param origin: how it was started; without it the proxy can't be upgraded.
    @param shared: what all clients share.
    """

    log = Logger(namespace="redisproxy")
    _sockets: Sockets

    def __init__(
        self,
        configuration: Configuration,
        dataplane: DataPlane,
        ports: Ports,
        carriers: Carriers | None,
        network: Network,
        reactor: Any,
        jitter: Callable[[float, float], float] = random.uniform,
        manager: ServiceManager | None = None,
        start_copying: StartCopying | None = None,
        origin: Origin | None = None,
    ) -> None:
        self.setName("redisproxy")
        self._settings = configuration.settings
        self._network, self._ports, self._reactor = network, ports, reactor
        self._manager, self._sockets = manager or ServiceManager(), {}
        self.fleet = Fleet(configuration, dataplane, network, reactor)
        moved = jitter, start_copying, self.fleet.dataplane
        self.control = control = Control(configuration, dataplane, network, reactor, *moved)
        self.fleet.of(control)
        self._admin = self._own_ports(configuration)
        self._signals = Signals(reactor, self._reload, self._upgrade, control.shutdown.hurry)
        self._place = self._place_of(origin, dataplane, carriers)
        self._telemetry = Telemetry(control, reactor)

    def _place_of(self, origin: Origin | None, dataplane: DataPlane, carriers: Carriers | None) -> Place | None:
        if origin is None or carriers is None:
            return None
        what = origin, self.control, dataplane, self._ports, self._admin, carriers
        return Place(*what, self.begin, self._reactor, self._manager)

    def _own_ports(self, configuration: Configuration) -> TogetherPorts:
        clock = self._reactor
        site = make_site(self.fleet.operations, lambda: configuration.admin_users, self.control.metrics, clock)
        admin = configuration.settings.admin, site, configuration.admin_tls, clock, site.leave
        return TogetherPorts(OwnPorts(self._network, *admin), self.fleet.ports())

    # -- starting

    def bind(self, environ: Mapping[str, str]) -> None:
        """Listen at every address, unless that has been done.

        @param environ: tells of sockets that the process was started with.
        @raise SystemExit: one can't be bound, or a passed socket can't be used; twistd and twist print its text and
            end, with no traceback.
        """
        if self._sockets:
            return
        try:
            self._sockets = sockets = sockets_for(self._settings, self._passed(environ))
        except PassedSocketFault as error:
            raise SystemExit(f"redisproxy can't start: {error}") from None
        except CannotListenError as error:
            raise SystemExit(f"redisproxy can't start: {cannot_listen(error)}") from None
        for each in (self._ports, self._admin):
            each.take(sockets)
            if self._in_charge:
                each.resume()

    def _passed(self, environ: Mapping[str, str]) -> Sockets:
        inherited = None if self._place is None else self._place.inherited(self._settings)
        return passed_sockets.of_service_manager(environ, self._settings) if inherited is None else inherited

    @property
    def _in_charge(self) -> bool:
        return self._place is None or self._place.in_charge

    def startService(self) -> None:
        """Begin to serve: connect to the uplink, watch the time, answer signals."""
        super().startService()
        self.bind({})
        if shortage := open_files.shortage(files_of_one(self._settings), open_files.raise_limit()):
            self.log.warn("{shortage}", shortage=shortage)
        self._signals.install()
        if self._in_charge:
            self.begin()
            # After the signals, of which some are taken a turn later, too.
            self._reactor.callWhenRunning(self._reactor.callLater, 0, self._manager.ready, "running")
        if self._place is not None:
            self._place.begin([each for sockets in self._sockets.values() for each in sockets])
        garbage_collection.leave_out_what_there_is()
        self._say_what_runs()

    def _say_what_runs(self) -> None:
        reason = "" if twins.NATIVE else f" ({twins.NATIVE_REASON})"
        count = self._settings.worker_count
        self.log.info(
            "redisproxy is running on {network} transports{reason}{workers}",
            network=self._network.name,
            reason=reason,
            workers=f", with {count} workers" if count > 1 else "",
        )

    def begin(self) -> None:
        """Connect to the uplink and watch the time: what needs neither ports nor signals."""
        self.control.start()
        self.fleet.start()
        self._telemetry.start()

    def _reload(self) -> None:
        """For a SIGHUP."""
        if self._passed_on():
            return
        reloading = self.control.reload.on_signal()
        if self.running:
            self._manager.reloading()
            reloading.addCallback(self._reloaded)

    def _reloaded(self, _: None) -> None:
        # One that came in an upgrade is for a file that the new process may have read before it was changed.
        if not self._passed_on() and self.running:
            error = self.control.results.reload.get("error")
            self._manager.ready(f"running; the last reload was rejected: {error}" if error else "running")

    def _passed_on(self) -> bool:
        """Whether another process is in charge, which has been told of the SIGHUP."""
        return self._place is not None and self._place.pass_on(signal.SIGHUP)

    def _upgrade(self) -> None:
        """For a SIGUSR2."""
        self.control.upgrade.on_signal()

    # -- stopping

    def stopService(self) -> Deferred[None]:
        """Stop listening, let clients leave and what is in flight finish within the bounds, close everything."""
        super().stopService()
        self._manager.stopping(self.control.shutdown.longest_s)
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        if self._place is not None:
            await self._place.stop()
        await self.control.stop()
        await self._telemetry.stop()
        self._signals.restore()
        await self._admin.close()


class ProxyService(Proxy):
    """The proxy in one process.

    @param config_path: the file that a reload reads again.
    @param settings: what it held at the start.
    @param network: the best one that there is when left out.
    @param jitter: a number between two others; what is waited for before another attempt is multiplied with it.
    @param reach: gives the control plane its data plane.
    @param manager: what is told how the process is doing; nobody when left out.
    @param start_copying: what switchovers copy with; this process does it itself when left out.
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
        start_copying: StartCopying | None = None,
        origin: Origin | None = None,
        directory: RunDirectory | None = None,
    ) -> None:
        network = network or best_network(reactor)
        peers = partial(peer.reach, reactor)
        self.dataplane = plane = LocalDataPlane(settings, reactor, network, jitter, reach=peers)
        configuration = Configuration(config_path, settings, network, reactor)
        reached, more = reach(plane, configuration), (jitter, manager, start_copying, origin)
        carriers = None if directory is None else Alone(plane, configuration, network, directory, reactor)
        super().__init__(configuration, reached, plane.listeners, carriers, network, reactor, *more)


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
        origin: Origin | None = None,
    ) -> None:
        network = best_network(reactor)
        self._configuration = configuration = Configuration(config_path, settings, network, reactor)
        here = None if settings.worker_count > 1 else beside_others(settings, reactor, network, directory)
        finds = origin is None or origin.inheritance is None
        self.dataplane = plane = WorkersDataPlane(
            settings, reactor, directory, here, self._found_in_force, lambda: self.control.reload.on_signal(), finds
        )
        own = None if here is None else Alone(here.plane, configuration, network, directory, reactor)
        more = random.uniform, manager, in_a_process_of_its_own(reactor), origin
        super().__init__(configuration, plane, plane.ports, Several(plane, own), network, reactor, *more)

    def _found_in_force(self, settings: config.Settings) -> None:
        try:
            self._configuration.found_in_force(settings)
        except TLSFault as error:
            self.log.error("the settings of the workers that were found are not taken: {error}", error=str(error))


def service_of(
    config_path: str, settings: config.Settings, reactor: Any, manager: ServiceManager, origin: Origin
) -> Proxy:
    """The service for these settings.

    @raise SystemExit: the run directory can't be used.
    """
    directory = run_directory(settings.run_directory, config_path, os.environ)
    if settings.worker_count > 1 or origin.inheritance is not None or directory.living():
        try:
            directory.make()
            directory.claim(config_path)
        except RunDirectoryFault as error:
            raise SystemExit(f"redisproxy can't start: {error}") from None
        return WorkersService(config_path, settings, reactor, manager, directory, origin)
    how: Any = {"manager": manager, "start_copying": in_a_process_of_its_own(reactor), "directory": directory}
    return ProxyService(config_path, settings, reactor, origin=origin, **how)
