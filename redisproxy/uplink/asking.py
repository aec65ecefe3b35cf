"""Commands of the proxy's own on the shared connection to one Redis server: the part of the set that sends them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from redisproxy.forwarding.collector import Collector
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.resp import encode_command
from redisproxy.uplink.connection import UplinkConnection
from redisproxy.uplink.waitlist import Key

PLAIN: Key = (0, 2)
"""What the connection is set to that these commands go out on."""


class Asking(ABC):
    """Whoever has a shared connection can send such commands."""

    @abstractmethod
    def acquire_shared(self, key: Key) -> Deferred[UplinkConnection]:
        """Fire with the shared connection for `key` once there is one."""

    def run(self, *command: bytes | str | int, on_reply: Callable[[object], None] | None = None) -> Deferred[None]:
        """Send a command of the proxy's own as soon as there is a connection; fire when it was sent, or given up.

        @param on_reply: called with the parsed reply; not at all when there is none.
        """

        def answered(replies: list[object] | None) -> None:
            if replies is not None and on_reply is not None:
                on_reply(replies[0])

        def send(connection: UplinkConnection) -> None:
            connection.submit_own(Collector(1, answered), encode_command(*command), 1)

        return self.acquire_shared(PLAIN).addCallbacks(send, lambda _: None)

    def ask(self, *command: bytes | str | int) -> Deferred[object]:
        """Like L{run}; fires with the parsed reply. Fails as L{acquire_shared} does, or when the connection is lost."""
        asked: Deferred[object] = Deferred()

        def answered(replies: list[object] | None) -> None:
            if replies is None:
                asked.errback(Failure(UplinkUnavailable("the connection to the uplink was lost")))
            else:
                asked.callback(replies[0])

        def send(connection: UplinkConnection) -> Deferred[object]:
            connection.submit_own(Collector(1, answered), encode_command(*command), 1)
            return asked

        return self.acquire_shared(PLAIN).addCallback(send)
