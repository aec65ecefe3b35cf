"""The two connections to a data plane in another process: on one it takes orders, on the other one it asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ConnectingCancelledError

from redisproxy.dataplane.interface import DataPlaneLost, NotSupported
from redisproxy.remote import passed_values
from redisproxy.remote.data_plane import RemoteDataPlane
from redisproxy.remote.order_client import OrderClient
from redisproxy.remote.order_server import OrderServer
from redisproxy.remote.other_end import pid_at_other_end
from redisproxy.workers import orders

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from redisproxy.config import Settings
    from redisproxy.remote.link import Link
    from redisproxy.remote.order import Order
    from redisproxy.remote.order_server import Handler
    from redisproxy.remote.run_directory import Sockets
    from redisproxy.workers.orders import Introduction

READ_OUT_S = 1.0
"""When a process has ended, all that it has told is in this one's sockets already."""


class Links:
    """Those to one data plane.

    @ivar sockets: where it listens. @ivar plane: the data plane at the other end.
    @ivar found: the settings that were in force in it. @ivar pid: of its process; 0 before there is a connection.
    @param on_lost: called when they are lost, with the one for orders.
    """

    def __init__(self, sockets: Sockets, reactor: Any, on_lost: Callable[[OrderClient], None]) -> None:
        self.plane = RemoteDataPlane(reactor, self._found_in_force)
        self.found: Settings | None = None
        self.pid = 0
        self.sockets = sockets
        self._reactor = reactor
        self._on_lost = on_lost
        self._ordering: OrderClient | None = None
        self._asked: OrderServer | None = None
        self._limit: IDelayedCall | None = None
        self._when_read_out: list[Callable[[], None]] = []

    @property
    def lost(self) -> bool:
        """Whether there were some that are lost."""
        return self._ordering is not None and self._ordering.lost

    async def make(
        self, answers: Mapping[type[Order], Handler], on_scripts: Callable[[bytes], Deferred[None]]
    ) -> Introduction:
        """Connect, and drive the data plane from now on; whoever does so until now is cut off.

        @param answers: what it may ask and tell. @param on_scripts: called with L{orders.ScriptsSeen}.
        @raise DataPlaneLost: it can't be reached, or not any more.
        @raise VersionRefused: its program takes other orders.
        """
        self._ordering, self._asked = OrderClient(self._reactor, self._gone), None
        self._ordering.hear(orders.ScriptsSeen, on_scripts)
        self._ordering.hear(orders.ManyScriptsSeen, lambda descriptor: on_scripts(passed_values.taken(descriptor)))
        await self._reach(self.sockets.orders, self._ordering)
        transport: Any = self._ordering.transport
        self.pid = pid_at_other_end(transport.socket)
        await self.plane.use(self._ordering)
        self.plane.give(orders.TellScripts).addErrback(lambda failure: failure.trap(DataPlaneLost, NotSupported))
        introduction: Introduction = await self.plane.give(orders.Introduce)
        self._asked = OrderServer(self._reactor, answers, self._gone)
        await self._reach(self.sockets.asking, self._asked)
        await self.plane.start()
        return introduction

    async def _reach(self, path: str, protocol: Link) -> None:
        connecting: Deferred[Any] = connectProtocol(UNIXClientEndpoint(self._reactor, path), protocol)
        try:
            await connecting
        except ConnectingCancelledError:
            raise CancelledError from None
        except ConnectError as error:
            raise DataPlaneLost(f"it can't be reached at {path}: {error}") from None

    def _found_in_force(self, settings: Settings) -> None:
        self.found = settings

    def _gone(self, link: Link) -> None:
        """One without the other is of no use."""
        if link is self._asked and self._ordering is not None and not self._ordering.lost:
            self.read_out(lambda: None)
        elif link is self._ordering:
            if self._asked is not None:
                self._asked.abort()
            self._on_lost(self._ordering)
            self._read_out()

    def read_out(self, then: Callable[[], None]) -> None:
        """The other process has ended: call `then` when all that it has told is heard, and its links are lost."""
        self._when_read_out.append(then)
        if self._ordering is None or self._ordering.lost:
            self._read_out()
        elif self._limit is None:
            self._limit = self._reactor.callLater(READ_OUT_S, self._ordering.abort)

    def _read_out(self) -> None:
        limit, self._limit = self._limit, None
        if limit is not None and limit.active():
            limit.cancel()
        waiting, self._when_read_out = self._when_read_out, []
        for then in waiting:
            then()

    def tell_if_lost(self) -> None:
        """Tell once more of a loss that nobody took notice of."""
        if self._ordering is not None and self._ordering.lost:
            self._on_lost(self._ordering)

    def close(self) -> None:
        """Give them up."""
        for link in (self._ordering, self._asked):
            if link is not None:
                link.abort()
