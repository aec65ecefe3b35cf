"""Hands spare pinned connections to who waits for one, set to the database and RESP version that each wants."""

from __future__ import annotations

from collections.abc import Callable

from twisted.python.failure import Failure

from redisproxy.forwarding.collector import Collector
from redisproxy.net.errors import DatabaseRefused, ServerBusy, UplinkError, UplinkUnavailable, is_busy
from redisproxy.resp import RespError, encode_command
from redisproxy.uplink.connection import UplinkConnection
from redisproxy.uplink.pinned_connections import PinnedConnections
from redisproxy.uplink.wait_queue import Request, WaitQueue


class Checkout:
    """Takes spare connections out of the pool. It opens nothing.

    @param again: called when something has come of nothing, and L{serve} is worth another try.
    """

    def __init__(self, requests: WaitQueue, pinned: PinnedConnections, again: Callable[[], None]) -> None:
        self._requests = requests
        self._pinned = pinned
        self._again = again

    def serve(self) -> None:
        """Hand out what there is."""
        while self._pinned.spare:
            request = self._requests.first_pinned()
            if request is None:
                break
            self._serve(request)

    def _serve(self, request: Request) -> None:
        connection = self._pinned.take(request.key)
        if not connection.alive:
            return
        if (connection.db, connection.resp_version) != request.key:
            self._requests.begin_serving(request)
            self._adjust(connection, request)
        elif self._requests.take(request):
            request.answer.callback(connection)

    def _adjust(self, connection: UplinkConnection, request: Request) -> None:
        db, version = request.key
        commands = [("SELECT", str(db))]
        if version != connection.resp_version:
            commands.insert(0, ("HELLO", str(version)))
        data = b"".join(encode_command(*command) for command in commands)

        def answered(replies: list[object] | None) -> None:
            self._adjusted(connection, request, replies)

        connection.submit_own(Collector(len(commands), answered), data, len(commands))

    def _adjusted(self, connection: UplinkConnection, request: Request, replies: list[object] | None) -> None:
        if replies is None:
            self._requests.put_back(request)
            self._again()
        elif not self._requests.take(request):
            connection.abort()
        elif (error := _refusal(replies)) is not None:
            connection.abort()
            request.answer.errback(Failure(error))
        else:
            connection.db, connection.resp_version = request.key
            request.answer.callback(connection)


def _refusal(replies: list[object]) -> UplinkError | None:
    """The error in the replies to (HELLO and) SELECT."""
    first, selected = replies[0], replies[-1]
    if isinstance(selected, RespError):
        return (ServerBusy if is_busy(selected.text) else DatabaseRefused)(selected.text)
    return UplinkUnavailable(first.text) if isinstance(first, RespError) else None
