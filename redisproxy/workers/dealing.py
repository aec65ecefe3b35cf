"""The control process accepts, and gives each connection to the worker with the fewest clients.

No byte of a client is read here. While there is no worker, or the one with the fewest clients has as many connections
on their way as it may, nobody is accepted, and clients wait in the kernel's backlog. A worker that has stalled is
passed over.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.net.acceptor import Acceptor
from redisproxy.net.listening import ListeningSocket, Sockets, close_all

if TYPE_CHECKING:
    from redisproxy.workers.members import Members
    from redisproxy.workers.supervisor import Supervisor
    from redisproxy.workers.worker import Worker

MOST_UNDER_WAY = 32
"""Connections on their way to one worker."""
PATIENCE_S = 1.0
"""How long a worker with so many may go without taking one before others get what would be its own."""


class Dealing:
    """The listening sockets.

    @ivar ports: those that are open.
    """

    log = Logger(namespace="redisproxy.workers")

    def __init__(self, members: Members, supervisor: Supervisor, reactor: Any) -> None:
        self.ports: list[Acceptor] = []
        self._members = members
        self._supervisor = supervisor
        self._reactor = reactor
        self._again: IDelayedCall | None = None
        self._sockets: Sockets = {}
        self._endpoints = [*members.settings.listen, *members.settings.listen_raw]
        members.changed = self.steer

    @property
    def listening(self) -> bool:
        """Whether clients may come; who does while nobody accepts waits in the backlog."""
        return bool(self._sockets)

    def take(self, sockets: Sockets) -> None:
        """Have these sockets, to accept from at L{resume}.

        @param sockets: those of every listener; the ones for clients are this object's from now on.
        """
        self._sockets = sockets

    def resume(self) -> None:
        """Accept, at first and again after L{pause}."""
        for number, endpoint in enumerate(self._endpoints) if not self.ports else ():
            for each in self._sockets[endpoint.address]:
                self.ports.append(Acceptor(self._reactor, each.copy(), self._giver(number)))
        self.steer()

    def _giver(self, number: int) -> Callable[[socket.socket], None]:
        is_raw = number >= len(self._members.settings.listen)
        return lambda accepted: self._give(accepted, number, is_raw)

    async def pause(self) -> None:
        """Accept nobody for now: who comes waits in the backlog."""
        ports, self.ports = self.ports, []
        for port in ports:
            port.close()
        if self._again is not None:
            self._again.cancel()
            self._again = None

    async def close(self) -> None:
        """Accept no more clients, and listen no more."""
        await self.pause()
        close_all(self._own_sockets())

    async def leave(self) -> None:
        """Accept no more clients: another process goes on listening."""
        await self.pause()
        for each in self._own_sockets():
            each.leave()

    def _own_sockets(self) -> list[ListeningSocket]:
        sockets, self._sockets = self._sockets, {}
        return [each for endpoint in self._endpoints for each in sockets.get(endpoint.address, ())]

    def steer(self) -> None:
        """Accept if there is a worker that may be given a connection."""
        able = self._next() is not None
        for port in self.ports:
            (port.resume if able else port.pause)()
        if not able and self.ports and self._again is None:
            self._again = self._reactor.callLater(PATIENCE_S, self._look_again)

    def _look_again(self) -> None:
        self._again = None
        self.steer()

    def _next(self) -> Worker | None:
        """The one with the fewest clients that has not stalled; None while it has enough on their way."""
        worker = min((each for each in self._in_use() if not self._stalled(each)), key=_load, default=None)
        return worker if worker is not None and worker.under_way < MOST_UNDER_WAY else None

    def _in_use(self) -> list[Worker]:
        workers = self._supervisor.workers
        return [workers[member.number] for member in self._members.in_use if member.number in workers]

    def _stalled(self, worker: Worker) -> bool:
        return worker.under_way >= MOST_UNDER_WAY and self._reactor.seconds() - worker.took >= PATIENCE_S

    def _give(self, accepted: socket.socket, listener: int, is_raw: bool) -> None:
        worker = self._next() or min(self._in_use(), key=_load, default=None)
        if worker is None:  # the last one was lost in this very moment
            accepted.close()
            return
        giving: Deferred[None] = worker.take(listener, is_raw, self._full(is_raw), accepted.fileno())
        giving.addErrback(self._not_taken, worker)
        giving.addBoth(self._given, accepted)
        self.steer()

    def _full(self, is_raw: bool) -> bool:
        limits, workers = self._members.settings.limits, self._supervisor.workers.values()
        if is_raw:
            return sum(worker.raw.now for worker in workers) >= limits.max_raw_connections
        return sum(worker.clients.now for worker in workers) >= limits.max_clients

    def _not_taken(self, failure: Failure, worker: Worker) -> None:
        """Whether the worker has begun with the client is unknown, so that it can't be given to another one."""
        if failure.check(DataPlaneLost):
            self._members.lose(worker, failure.getErrorMessage())
        else:
            self.log.error("a connection was not taken: {error}", error=failure.getErrorMessage())

    def _given(self, _: object, accepted: socket.socket) -> None:
        accepted.close()
        self.steer()


def _load(worker: Worker) -> int:
    return worker.load
