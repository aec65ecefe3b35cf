"""Commands of the proxy's own on the shared connection to one Redis server."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from redisproxy.forwarding.collector import Collector
from redisproxy.forwarding.interfaces import Key
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.resp import encode_command
from redisproxy.uplink.connection import UplinkConnection

PLAIN: Key = (0, 2)
"""What the connection is set to that these commands go out on."""


class OwnCommands:
    """Sends them; they do not count at the gate.

    @param acquire_shared: see L{ConnectionPool.acquire_shared}.
    """

    def __init__(self, acquire_shared: Callable[[Key], Deferred[UplinkConnection]]) -> None:
        self._acquire_shared = acquire_shared

    def run(self, *command: bytes | str | int, on_reply: Callable[[object], None] | None = None) -> Deferred[None]:
        """Send a command as soon as there is a connection; fire when it was sent, or given up.

        @param on_reply: called with the parsed reply; not at all when there is none.
        """

        def answered(replies: list[object] | None) -> None:
            if replies is not None and on_reply is not None:
                on_reply(replies[0])

        def send(connection: UplinkConnection) -> None:
            connection.submit_own(Collector(1, answered), encode_command(*command), 1)

        return self._acquire_shared(PLAIN).addCallbacks(send, lambda _: None)

    def ask(self, *command: bytes | str | int) -> Deferred[object]:
        """Like L{run}; fires with the parsed reply. Fails as acquiring does, or when the connection is lost."""
        asked: Deferred[object] = Deferred()

        def answered(replies: list[object] | None) -> None:
            if replies is None:
                asked.errback(Failure(UplinkUnavailable("the connection to the uplink was lost")))
            else:
                asked.callback(replies[0])

        def send(connection: UplinkConnection) -> Deferred[object]:
            connection.submit_own(Collector(1, answered), encode_command(*command), 1)
            return asked

        return self._acquire_shared(PLAIN).addCallback(send)
