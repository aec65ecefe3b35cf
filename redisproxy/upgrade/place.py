"""The place of a process: whether it has it, takes it from another process, or gives it to one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

from redisproxy.config import Undiscovered
from redisproxy.net.listening import close_all
from redisproxy.upgrade.giving_way import GivingWay
from redisproxy.upgrade.taking_over import TakingOver

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.config import Settings
    from redisproxy.control.control import Control
    from redisproxy.control.service_manager import ServiceManager
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.net.listening import ListeningSocket, Sockets
    from redisproxy.upgrade.carriers import Carriers
    from redisproxy.upgrade.giving_way import Ports
    from redisproxy.upgrade.origin import Origin


class Place:
    """Implements L{taking_over.Heir}.

    @param clients, admin: the ports. @param manager: is told who the service is.
    @param serve: starts the control plane, and with it the data plane.
    @ivar in_charge: this process is the proxy.
    """

    log = Logger(namespace="redisproxy.upgrade")

    def __init__(
        self,
        origin: Origin,
        control: Control,
        dataplane: DataPlane,
        clients: Ports,
        admin: Ports,
        carriers: Carriers,
        serve: Callable[[], None],
        reactor: Any,
        manager: ServiceManager,
    ) -> None:
        self.dataplane = dataplane
        self.in_charge = origin.inheritance is None
        self._origin = origin
        self._control = control
        self._clients, self._admin = clients, admin
        self._carriers = carriers
        self._serve = serve
        self._reactor = reactor
        self._manager = manager
        self._sockets: Sequence[ListeningSocket] = ()
        self._left: Sequence[ListeningSocket] = ()
        self._taking_over: TakingOver | None = None
        self._giving_way: GivingWay | None = None

    def inherited(self, settings: Settings) -> Sockets | None:
        """The sockets of listeners that another process has passed; None if none has.

        @raise PassedSocketFault: one belongs to no listener, and that is nobody's but the service manager's.
        """
        if self._origin.inheritance is None:
            return None
        sockets, self._left = self._origin.inheritance.sockets_of(settings)
        return sockets

    def begin(self, sockets: Sequence[ListeningSocket]) -> None:
        """The process starts. @param sockets: all at which it listens."""
        self._sockets = sockets
        inheritance = self._origin.inheritance
        if inheritance is None:
            self._can_be_upgraded()
            return
        self._taking_over = TakingOver(inheritance, self, self._carriers, self._reactor)
        self._taking_over.begin()

    def _can_be_upgraded(self) -> None:
        origin = self._origin
        self._giving_way = giving_way = GivingWay(
            origin.command,
            self._clients,
            self._admin,
            self._carriers,
            self._control,
            self._reactor,
            self._manager,
            origin.pidfile,
            self._sockets,
        )
        self._control.upgrade.of(giving_way)

    def pass_on(self, number: int) -> bool:
        """Send a signal that has come here to the process in charge, if that is another one by now; whether it is."""
        pid = 0 if self._giving_way is None else self._giving_way.successor_pid
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return bool(pid)

    async def stop(self) -> None:
        """The process ends: what it was to take over goes back if it is not in charge."""
        if self._taking_over is not None:
            await self._taking_over.stop()
        await self._carriers.stop()

    # -- taking over

    @property
    def server(self) -> str:
        address = self._control.configuration.settings.uplink.address
        return "" if isinstance(address, Undiscovered) else str(address)

    def serve(self) -> None:
        self._serve()

    def accept(self) -> None:
        self._clients.resume()

    async def accept_nobody(self) -> None:
        await self._clients.pause()

    def take_charge(self, history: Mapping[str, Any], settled: Deferred[None]) -> None:
        for each in (*self._sockets, *self._left):
            each.of_another = bool(each.name)
        close_all(self._left)
        self.in_charge = True
        self._admin.resume()
        self._origin.pidfile.own()
        self._control.results.take_history(history)
        self._can_be_upgraded()
        self._control.upgrade.settling(settled)
        self._manager.ready("running")
        self.log.info("this process is in charge now")

    def end(self) -> None:
        with suppress(ReactorNotRunning):
            self._reactor.stop()
