"""One command on a connection made for it, past everything that others wait for: for a server that is busy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IProtocol, IReactorTime
from twisted.python.failure import Failure

from redisproxy.errors import UplinkError, UplinkMoved, UplinkUnavailable
from redisproxy.uplink.connection import UplinkConnection
from redisproxy.uplink.login import Credentials, Login

if TYPE_CHECKING:
    from redisproxy.gate import Gate
    from redisproxy.metrics import Metrics

LIMIT_S = 60.0
"""A server that runs a script answers nobody before C{busy-reply-threshold} (5 seconds by default) has passed."""
MAX_REPLY_BYTES = 65536


class Urgent:
    """One such command.

    @ivar answer: fires with the reply as it came, or fails with L{UplinkError}.
    @param connect, credentials: see L{redisproxy.uplink.opening.Opener}.
    """

    def __init__(
        self,
        data: bytes,
        resp_version: int,
        connect: Callable[[Callable[[], IProtocol]], Deferred[IProtocol]],
        credentials: Credentials,
        clock: IReactorTime,
        end_of_turn: Callable[[Callable[[], None]], None],
        gate: Gate,
        metrics: Metrics,
    ) -> None:
        self.answer: Deferred[bytes] = Deferred()
        self.clock = clock
        self.gate = gate
        self.metrics = metrics
        self.end_of_turn = end_of_turn
        self._data = data
        self._credentials = credentials
        self._reply = b""
        self._over = False
        self._connection = UplinkConnection(self, 0, resp_version)
        self._deadline: IDelayedCall = clock.callLater(LIMIT_S, self._fail, UplinkUnavailable("the server is silent"))
        self._connecting = connect(lambda: self._connection)
        self._connecting.addErrback(self._not_connected)

    def _not_connected(self, failure: Failure) -> None:
        self._fail(UplinkUnavailable(failure.getErrorMessage() or "the connection failed"))

    def connection_made(self, connection: UplinkConnection) -> None:
        """Part of L{connection.Owner}."""
        if self._over:
            connection.abort()
        else:
            Login(connection, self._credentials, self._logged_in).start()

    def _logged_in(self, error: UplinkError | None, server: dict[bytes, object]) -> None:
        if self._over:
            return
        if error is not None:
            self._fail(error)
            return
        self._connection.logged_in(None)
        self._connection.submit_own(self, self._data, 1)

    def reply(self, data: bytes, done: int) -> None:
        """Part of C{ReplySink}."""
        self._reply += data
        if len(self._reply) > MAX_REPLY_BYTES:
            self._fail(UplinkUnavailable("the answer is too large"))
        elif done and self._end():
            self.answer.callback(self._reply)

    def lost(self) -> None:
        """Part of C{ReplySink}; L{connection_lost} has the news."""

    def connection_lost(self, connection: UplinkConnection, reason: Failure) -> None:
        """Part of L{connection.Owner}."""
        self._fail(UplinkUnavailable("the connection to the uplink was lost"))

    def give_up(self) -> None:
        """The server is left."""
        self._fail(UplinkMoved("this uplink has been left"))

    def _fail(self, error: UplinkError) -> None:
        if self._end():
            self.answer.errback(Failure(error))

    def _end(self) -> bool:
        """Close; False when that has been done."""
        if self._over:
            return False
        self._over = True
        if self._deadline.active():
            self._deadline.cancel()
        self._connecting.cancel()
        self._connection.abort()
        return True
