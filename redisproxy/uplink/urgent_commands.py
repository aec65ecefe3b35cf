"""One command on a connection made for it, past everything that others wait for: for a server that is busy."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IProtocol
from twisted.python.failure import Failure

from redisproxy.net.errors import OutcomeUnknown, UplinkError, UplinkMoved, UplinkUnavailable
from redisproxy.uplink.connection import UplinkConnection
from redisproxy.uplink.context import UplinkContext
from redisproxy.uplink.login import Credentials, CredentialSource, Login
from redisproxy.uplink.opener import Connect

LIMIT_S = 60.0
"""A server that runs a script answers nobody before C{busy-reply-threshold} (5 seconds by default) has passed."""
MAX_REPLY_BYTES = 65536
AT_ONCE = 64
MAX_WAITING = 1024
"""More than this no honest client has waited for; who has left does not take his command back."""


class UrgentCommands:
    """The urgent commands to one server. Only so many have a connection at one time; the others wait their turn.

    @param connect, source: see L{ConnectionOpener}.
    """

    def __init__(self, context: UplinkContext, connect: Connect, source: CredentialSource) -> None:
        self._context = context
        self._connect = connect
        self._source = source
        self._waiting: dict[UrgentCommand, None] = {}
        self._under_way: dict[UrgentCommand, None] = {}

    def send(self, data: bytes, resp_version: int) -> Deferred[bytes]:
        """Fire with the reply as it came, or fail with L{UplinkError}."""
        if len(self._waiting) >= MAX_WAITING:
            return fail(UplinkUnavailable(f"{AT_ONCE + MAX_WAITING} commands like this one are under way"))
        urgent = UrgentCommand(self._context, self._source, data, resp_version)
        self._waiting[urgent] = None
        urgent.answer.addBoth(self._ended, urgent)
        self._go_on()
        return urgent.answer

    def _go_on(self) -> None:
        while self._waiting and len(self._under_way) < AT_ONCE:
            urgent = next(iter(self._waiting))
            del self._waiting[urgent]
            self._under_way[urgent] = None
            urgent.start(self._connect)

    def _ended(self, result: bytes | Failure, urgent: UrgentCommand) -> bytes | Failure:
        self._waiting.pop(urgent, None)
        self._under_way.pop(urgent, None)
        self._go_on()
        return result

    def close(self) -> None:
        """The server is left. What has been sent is still answered; what waits is for another server."""
        for urgent in list(self._waiting):
            urgent.give_up()

    def stop(self) -> None:
        """Wait for nothing any more."""
        self.close()
        for urgent in list(self._under_way):
            urgent.give_up()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._under_way)


class UrgentCommand:
    """One such command. Its time runs from the beginning.

    @ivar answer: fires with the reply as it came, or fails with L{UplinkError}.
    """

    def __init__(self, context: UplinkContext, source: CredentialSource, data: bytes, resp_version: int) -> None:
        self.answer: Deferred[bytes] = Deferred()
        self.context = context
        self._data = data
        self._source = source
        self._credentials = Credentials(None, None)
        self._reply = b""
        self._over = self._sent = False
        self._connection = UplinkConnection(self, 0, resp_version)
        self._connecting: Deferred[IProtocol] | None = None
        silent = UplinkUnavailable("the server is silent")
        self._deadline: IDelayedCall = context.clock.callLater(LIMIT_S, self._fail, silent)

    def start(self, connect: Connect) -> None:
        """Connect and send it."""
        self._connecting = self._source.ask().addCallback(self._connect_as, connect)
        self._connecting.addErrback(self._not_connected)

    def _connect_as(self, credentials: Credentials, connect: Connect) -> Deferred[IProtocol]:
        self._credentials = credentials
        return connect(lambda: self._connection)

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
        self._sent = True
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
        kind = OutcomeUnknown if self._sent else UplinkUnavailable
        self._fail(kind("the connection to the uplink was lost"))

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
        if self._connecting is not None:
            self._connecting.cancel()
        self._connection.abort()
        return True
