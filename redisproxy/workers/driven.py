"""A data plane of this process that control planes drive from other processes.

It listens in the run directory, and goes on when its control plane is lost: the next one finds it there. Without one
and without clients it is of no use, and says so.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.internet.task import LoopingCall

import redisproxy
from redisproxy.dataplane import shared_value
from redisproxy.dataplane.interface import OPERATOR
from redisproxy.net.private_port import close, listen_privately
from redisproxy.remote import passed_values, peer
from redisproxy.remote.other_end import ProcessAtOtherEnd
from redisproxy.remote.served import ServedDataPlane
from redisproxy.workers import orders
from redisproxy.workers.asking import Asking, Upward
from redisproxy.workers.orders import Introduction
from redisproxy.workers.taking import Taking
from redisproxy.workers.telling import Telling
from redisproxy.workers.telling_scripts import TellingScripts

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IListeningPort

    from redisproxy.config import Settings
    from redisproxy.dataplane.local import LocalDataPlane
    from redisproxy.net.network import ServingNetwork
    from redisproxy.remote.order import Order
    from redisproxy.remote.order_server import Handler
    from redisproxy.remote.run_directory import RunDirectory

USELESS_S = 10.0
"""How long a data plane without a control plane and without clients waits for one of the two."""
LOOK_S = 2.0
LOG_FD = 2
IN_BUFFER_BYTES = 16 * 1024
"""What fits into a socket's buffer, whatever else is in it."""


class Driven:
    """One data plane and its sockets.

    @param name: what its sockets are called. @param number: of the worker; 0 for a process without workers.
    @param settings: the whole ones in force.
    @param on_useless: called once, when it has neither a control plane nor clients for a while, or is to stop.
    @param started: `plane` has been started already.
    @ivar taking: the connections that it was given.
    """

    def __init__(
        self,
        name: str,
        number: int,
        plane: LocalDataPlane,
        settings: Settings,
        network: ServingNetwork,
        reactor: Any,
        on_useless: Callable[[], None],
        started: bool = False,
    ) -> None:
        self._name, self._number, self._plane = name, number, plane
        self._reactor = reactor
        self._on_useless = on_useless
        self._upward = Upward(reactor)
        plane.core.every_worker = Asking(self._upward, reactor)
        self.taking = Taking(plane, network)
        self._telling = Telling(plane, self.taking, self._upward, reactor)
        self._served = ServedDataPlane(plane, settings, network, reactor, self._more(), started, ProcessAtOtherEnd)
        self._scripts = TellingScripts(plane.core.scripts, self._tell_scripts, network.end_of_turn)
        self._ports: list[IListeningPort] = []
        self._began = self._useful = reactor.seconds()
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor

    def _more(self) -> dict[type[Order], Handler]:
        return {
            orders.TakeClient: self.taking.take,
            orders.TellShared: lambda: shared_value.export(self._plane.core, self._plane.registry),
            orders.LearnShared: lambda shared: shared_value.learn(shared, self._plane.core),
            orders.TellScripts: lambda: self._scripts.tell_all(),
            orders.Introduce: self._introduce,
            orders.LogTo: _log_to,
            orders.End: self._stopped_by,
        }

    def _tell_scripts(self, shared: bytes) -> Deferred[Any]:
        if len(shared) <= IN_BUFFER_BYTES:
            return self._served.tell(orders.ScriptsSeen, shared=shared)
        descriptor = passed_values.file_with(shared)
        told = self._served.tell(orders.ManyScriptsSeen, descriptor=descriptor)
        return told.addBoth(passed_values.closing(descriptor))

    def _introduce(self) -> Introduction:
        taking, plane = self.taking, self._plane
        return Introduction(
            number=self._number,
            pid=os.getpid(),
            version=redisproxy.__version__,
            age_s=self._reactor.seconds() - self._began,
            given=taking.given,
            given_raw=taking.given_raw,
            last_id=plane.registry.last_id,
            pausing=OPERATOR in plane.core.gate.reasons,
        )

    # -- its sockets

    def open(self, directory: RunDirectory) -> None:
        """Listen, for this user only.

        @raise CannotListenError: a socket can't be made.
        """
        sockets, reactor = directory.sockets(self._name), self._reactor
        try:
            self._ports.append(listen_privately(reactor, sockets.asking, self._upward.link))
            self._ports.append(peer.listen(reactor, sockets.clients, self._plane.handover))
            # The last one, because whoever finds it expects the others.
            self._ports.append(listen_privately(reactor, sockets.orders, self._served.link))
        except Exception:
            self._close()
            raise
        self._telling.start()
        self._looking.start(LOOK_S, now=False)

    def _close(self) -> None:
        ports, self._ports = self._ports, []
        for port in ports:
            close(port)

    def _look(self) -> None:
        """See whether anybody needs this data plane."""
        plane, now = self._plane, self._reactor.seconds()
        if self._served.driven or len(plane.registry) or len(plane.raw) or plane.handover.adoption.expected:
            self._useful = now
        elif now - self._useful >= USELESS_S:
            self._end()

    def _stopped_by(self) -> None:
        self._reactor.callLater(0, self._end)

    def _end(self) -> None:
        if self._looking.running:
            self._looking.stop()
            self._on_useless()

    async def stop(self) -> None:
        """Leave no socket, and no control plane."""
        self._close()
        self._telling.stop()
        self._scripts.stop()
        if self._looking.running:
            self._looking.stop()
        self._upward.close()
        await self._served.stop()


def _log_to(descriptor: int) -> None:
    os.set_blocking(descriptor, False)
    os.dup2(descriptor, LOG_FD)
    os.close(descriptor)
