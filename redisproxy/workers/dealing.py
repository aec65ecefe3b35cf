"""The control process accepts, and gives each connection to the worker with the fewest clients.

No byte of a client is read here. While there is no worker, or the one with the fewest clients has as many connections
on their way as it may, nobody is accepted, and clients wait in the kernel's backlog. A worker that has stalled is
passed over.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.net.acceptor import Acceptor
from redisproxy.net.listening import OwnSockets, Sockets

if TYPE_CHECKING:
    from redisproxy.workers.members import Members

MOST_UNDER_WAY = 32
"""Connections on their way to one worker."""
PATIENCE_S = 1.0
"""How long a worker with so many may go without taking one before others get what would be its own."""


class Counting(Protocol):
    """A number of clients."""

    @property
    def now(self) -> int: ...


class Counted(Protocol):
    """Whose clients count.

    @ivar clients, raw: how many it has, the raw ones apart.
    """

    @property
    def clients(self) -> Counting: ...

    @property
    def raw(self) -> Counting: ...


@runtime_checkable
class Server(Protocol):
    """Serves the connections that it is given.

    @ivar load: how many it has. @ivar under_way: how many are on their way to it.
    @ivar took: when it last took one, or was given one while none was on its way.
    """

    under_way: int
    took: float

    @property
    def label(self) -> str: ...

    @property
    def load(self) -> int: ...

    def take(self, listener: int, is_raw: bool, full: bool, descriptor: int) -> Deferred[None]:
        """Serve a connection, which stays open here until this has fired."""


class Dealing:
    """The listening sockets.

    @ivar ports: those that are open.
    @param everybody: all who have clients, also those that get none any more.
    """

    log = Logger(namespace="redisproxy.workers")

    def __init__(self, members: Members, everybody: Callable[[], Iterable[Counted]], reactor: Any) -> None:
        self.ports: list[Acceptor] = []
        self._members = members
        self._everybody = everybody
        self._reactor = reactor
        self._again: IDelayedCall | None = None
        self._endpoints = [*members.settings.listen, *members.settings.listen_raw]
        self._sockets = OwnSockets(each.address for each in self._endpoints)

    @property
    def listening(self) -> bool:
        """Whether clients may come; who does while nobody accepts waits in the backlog."""
        return bool(self._sockets)

    def take(self, sockets: Sockets) -> None:
        """Have these sockets, to accept from at L{resume}.

        @param sockets: those of every listener; the ones for clients are this object's from now on.
        """
        self._sockets.take(sockets)

    def resume(self) -> None:
        """Accept, at first and again after L{pause}."""
        for number, endpoint in enumerate(self._endpoints) if not self.ports else ():
            for each in self._sockets.at(endpoint.address):
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
        self._sockets.close()

    async def leave(self) -> None:
        """Accept no more clients: another process goes on listening."""
        await self.pause()
        self._sockets.leave()

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

    def _next(self) -> Server | None:
        """The one with the fewest clients that has not stalled; None while it has enough on their way."""
        worker = min((each for each in self._in_use() if not self._stalled(each)), key=_load, default=None)
        return worker if worker is not None and worker.under_way < MOST_UNDER_WAY else None

    def _in_use(self) -> list[Server]:
        return [member for member in self._members.serving if isinstance(member, Server)]

    def _stalled(self, worker: Server) -> bool:
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
        limits, workers = self._members.settings.limits, self._everybody()
        if is_raw:
            return sum(worker.raw.now for worker in workers) >= limits.max_raw_connections
        return sum(worker.clients.now for worker in workers) >= limits.max_clients

    def _not_taken(self, failure: Failure, worker: Server) -> None:
        """Whether it has begun with the client is unknown, so that it can't be given to another one."""
        self.log.error("a connection to {label} was lost: {e}", label=worker.label, e=failure.getErrorMessage())

    def _given(self, _: object, accepted: socket.socket) -> None:
        accepted.close()
        self.steer()


def _load(worker: Server) -> int:
    return worker.load
