"""A worker: the process in which a data plane carries commands by order of the control process.

It reads what it begins with from its standard input, says once on its standard output that it is up, and logs to its
standard error. The control process reaches it in the run directory. It outlives the control process for as long as it
has clients: it ends what that had begun, serves them as they are, and waits for another control process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import TimeoutError, ensureDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger, globalLogBeginner

from redisproxy.dataplane import garbage_collection, shared_value
from redisproxy.dataplane.interface import SHUTDOWN
from redisproxy.dataplane.local import LocalDataPlane
from redisproxy.net.network import best_network
from redisproxy.remote import peer
from redisproxy.remote.argument_types import settings_from_bytes, settings_to_bytes
from redisproxy.remote.run_directory import RunDirectory
from redisproxy.shared.registry import Ids
from redisproxy.workers.all_clients import ID_STEP
from redisproxy.workers.driven import Driven
from redisproxy.workers.log_pipe import LogPipe
from redisproxy.workers.share import share_of

if TYPE_CHECKING:
    from redisproxy.config import Settings

STARTED = b"started\n"
MARGIN_S = 10.0
"""Added to the drain deadline: when the process has not ended by then, it ends at once."""


@dataclass(frozen=True)
class Beginning:
    """What a worker begins with.

    @ivar number: its own, from 1 on. @ivar name: what its sockets are called. @ivar directory: where they are.
    @ivar settings: the whole ones. @ivar after: its clients get higher ids than this.
    @ivar shared: what the clients of another worker share; empty when there is none.
    """

    number: int
    name: str
    directory: str
    settings: Settings
    after: int = 0
    shared: bytes = b""

    def to_bytes(self) -> bytes:
        """As it passes through a pipe."""
        texts = {"settings": settings_to_bytes(self.settings).decode(), "shared": b64encode(self.shared).decode()}
        plain = {"number": self.number, "name": self.name, "directory": self.directory, "after": self.after}
        return json.dumps({**plain, **texts}).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Beginning:
        """The reverse."""
        told = json.loads(data)
        settings = settings_from_bytes(told["settings"].encode())
        names = (told["number"], told["name"], told["directory"])
        return cls(*names, settings, told["after"], b64decode(told["shared"]))


class WorkerProcess:
    """Everything in the process of one worker."""

    log = Logger(namespace="redisproxy.worker")

    def __init__(self, beginning: Beginning, reactor: Any) -> None:
        """
        @raise TLSFault: certificates can't be used.
        """
        self._beginning = beginning
        self._reactor = reactor
        self._ending = False
        network, number = best_network(reactor), beginning.number
        ids, peers = Ids(number, ID_STEP, beginning.after), partial(peer.reach, reactor)
        self.plane = plane = LocalDataPlane(beginning.settings, reactor, network, ids=ids, reach=peers, share=share_of)
        if beginning.shared:
            shared_value.take_in(beginning.shared, plane.core, plane.registry)
        self._driven = Driven(beginning.name, number, plane, beginning.settings, network, reactor, self.end)

    def start(self) -> None:
        """Listen for the control process."""
        self._driven.open(RunDirectory(self._beginning.directory))
        garbage_collection.leave_out_what_there_is()

    # -- the end

    def end(self) -> None:
        """Nobody needs this process any more, or the control process has told it to end."""
        if self._ending:
            return
        self._ending = True
        limit_s = self.plane.in_force.settings.shutdown.drain_deadline_ms / 1000
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
        await self._driven.stop()
        await plane.clients.close_all()
        await plane.stop()


def main() -> None:
    """Run until nobody needs this process."""
    from twisted.internet import reactor

    with suppress(OSError):
        # Ctrl-C in the terminal is for the control process. In a session of its own Linux would weigh each worker
        # against everything else on the machine (sched_autogroup), and wake it for every single command.
        os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    globalLogBeginner.beginLoggingTo([LogPipe(2)], redirectStandardIO=False)
    worker = WorkerProcess(Beginning.from_bytes(sys.stdin.buffer.read()), reactor)
    try:
        worker.start()
    except CannotListenError as error:
        sys.exit(f"the worker does not begin: {error}")
    os.write(1, STARTED)
    os.close(1)
    running: Any = reactor
    running.run(installSignalHandlers=False)
