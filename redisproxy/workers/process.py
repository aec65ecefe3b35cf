"""A worker: the process in which a data plane carries commands by order of the control process.

It reads what it begins with from its standard input, says once on its standard output that it is up, and logs to its
standard error. It has two connections to the control process: on one it takes orders, on the other one it asks. Without
the control process it can get no clients and is told nothing, so it ends what that had begun, lets what is in flight
finish within C{shutdown.drain_deadline_ms}, and ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import TimeoutError, ensureDeferred
from twisted.logger import Logger, globalLogBeginner

from redisproxy.dataplane import garbage_collection, shared_value
from redisproxy.dataplane.interface import SHUTDOWN
from redisproxy.dataplane.local import LocalDataPlane
from redisproxy.net.network import best_network
from redisproxy.remote.argument_types import settings_from_bytes, settings_to_bytes
from redisproxy.remote.link import connected
from redisproxy.remote.order_client import OrderClient
from redisproxy.remote.served import ServedDataPlane
from redisproxy.shared.registry import Ids
from redisproxy.workers import orders
from redisproxy.workers.all_clients import ID_STEP
from redisproxy.workers.asking import Asking
from redisproxy.workers.log_pipe import LogPipe
from redisproxy.workers.taking import Taking

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.remote.order import Order
    from redisproxy.remote.order_server import Handler

ORDERS_FD, ASKING_FD = 3, 4
STARTED = b"started\n"
MARGIN_S = 10.0
"""Added to the drain deadline: when the process has not ended by then, it ends at once."""


@dataclass(frozen=True)
class Beginning:
    """What a worker begins with.

    @ivar number: its own, from 1 on. @ivar after: its clients get higher ids than this.
    @ivar shared: what the clients of another worker share; empty when there is none.
    """

    number: int
    settings: Settings
    after: int = 0
    shared: bytes = b""

    def to_bytes(self) -> bytes:
        """As it passes through a pipe."""
        texts = {"settings": settings_to_bytes(self.settings).decode(), "shared": b64encode(self.shared).decode()}
        return json.dumps({"number": self.number, "after": self.after, **texts}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Beginning:
        """The reverse."""
        told = json.loads(data)
        settings = settings_from_bytes(told["settings"].encode())
        return cls(told["number"], settings, told["after"], b64decode(told["shared"]))


class WorkerProcess:
    """Everything in the process of one worker."""

    log = Logger(namespace="redisproxy.worker")

    def __init__(self, beginning: Beginning, reactor: Any) -> None:
        """
        @raise TLSFault: certificates can't be used.
        """
        settings = self._settings = beginning.settings
        self._reactor = reactor
        self._ending = False
        network = best_network(reactor)
        ids = Ids(beginning.number, ID_STEP, beginning.after)
        self.plane = plane = LocalDataPlane(settings, reactor, network, ids=ids)
        if beginning.shared:
            shared_value.take_in(beginning.shared, plane.core, plane.registry)
        self._asking = OrderClient(reactor, lambda link: None)
        plane.core.every_worker = Asking(self._asking, reactor)
        self._taking = Taking(plane, network, self._asking, reactor)
        more: dict[type[Order], Handler] = {orders.TakeClient: self._taking.take, orders.TellShared: self._tell_shared}
        self._served = ServedDataPlane(plane, settings, network, reactor, more, self.end)

    def _tell_shared(self) -> bytes:
        return shared_value.export(self.plane.core, self.plane.registry)

    def start(self, orders_fd: int, asking_fd: int) -> None:
        """Serve, with the two connections to the control process."""
        connected(self._reactor, asking_fd, self._asking)
        connected(self._reactor, orders_fd, self._served.link())
        ensureDeferred(self._asking.greet()).addCallbacks(lambda _: self._taking.start(), lambda _: None)
        garbage_collection.leave_out_what_there_is()

    # -- the end

    def end(self) -> None:
        """The control process is gone, or has told this one to stop."""
        if self._ending:
            return
        self._ending = True
        limit_s = self._settings.shutdown.drain_deadline_ms / 1000
        self._reactor.callLater(limit_s + MARGIN_S, os._exit, 1)
        ensureDeferred(self._end(limit_s)).addErrback(self._failed).addBoth(lambda _: self._reactor.stop())

    def _failed(self, failure: Any) -> None:
        self.log.failure("ending failed", failure=failure)

    async def _end(self, limit_s: float) -> None:
        plane = self.plane
        await plane.gate.hold(SHUTDOWN)
        try:
            await plane.gate.drained().addTimeout(limit_s, self._reactor)
        except TimeoutError:
            await plane.gate.drop_in_flight()
        self._taking.stop()
        await plane.clients.close_all()
        await plane.stop()
        await self._served.stop()


def main() -> None:
    """Run until the control process is gone."""
    from twisted.internet import reactor

    with suppress(OSError):
        # Ctrl-C in the terminal is for the control process. In a session of its own Linux would weigh each worker
        # against everything else on the machine (sched_autogroup), and wake it for every single command.
        os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    globalLogBeginner.beginLoggingTo([LogPipe(2)], redirectStandardIO=False)
    worker = WorkerProcess(Beginning.from_bytes(sys.stdin.buffer.read()), reactor)
    worker.start(ORDERS_FD, ASKING_FD)
    os.write(1, STARTED)
    os.close(1)
    running: Any = reactor
    running.run(installSignalHandlers=False)
