"""Connections to sentinels, and to the servers they name: txredisapi's protocols, within bounds.

A peer that sends what is no Redis protocol, or more than any answer can be, loses its connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import txredisapi
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from redisproxy.servers.control_connection import ControlConnection, ControlProtocol, open_connection

if TYPE_CHECKING:
    from redisproxy.net.dialing import Dial
    from redisproxy.uplink import CredentialSource

MAX_BYTES = 262144
Heard = Callable[[object, object], None]


class _Bounded:
    """Stands before a protocol of txredisapi and stops what it could not take."""

    log = Logger(namespace="redisproxy.sentinel")
    transport: Any
    received = 0

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        self.received += len(data)
        try:
            if self.received > MAX_BYTES:
                raise ValueError("more than any answer can be")
            super().dataReceived(data, unpause)  # type: ignore[misc]
        except Exception as error:
            # Whatever a parser makes of bytes from elsewhere ends here, with the connection.
            self.log.warn("a Redis peer sent nonsense: {error}", error=f"{type(error).__name__}: {error}"[:200])
            self.transport.abortConnection()


class AskingProtocol(_Bounded, ControlProtocol):
    """A connection for a few questions."""


class ListeningProtocol(_Bounded, txredisapi.SubscriberProtocol):  # type: ignore[misc]
    """A connection that hears a sentinel's events.

    @param heard: called with each event's channel and text.
    """

    def __init__(self, clock: IReactorTime, heard: Heard) -> None:
        super().__init__(charset=None, convertNumbers=False)
        self.callLater = clock.callLater
        self._heard = heard

    def messageReceived(self, pattern: object, channel: object, message: object) -> None:
        self.received = 0
        self._heard(channel, message)


class Line:
    """How to reach one peer, and who we are there.

    @param name: how messages call it.
    @param timeout_s: for the connection, and later for each answer.
    """

    def __init__(self, name: str, dial: Dial, source: CredentialSource, clock: IReactorTime, timeout_s: float) -> None:
        self.name = name
        self.clock = clock
        self._dial = dial
        self._source = source
        self._timeout_s = timeout_s

    async def ask(self, *commands: tuple[str, ...]) -> list[Any]:
        """Ask over a connection of its own; an error that the peer answers is an item of the result.

        @raise UplinkError: there was no answer.
        """
        server = await self._open(lambda: AskingProtocol(self.clock))
        try:
            return await server.ask_all(*commands)
        finally:
            server.close()

    async def listen(self, events: tuple[str, ...], heard: Heard) -> tuple[ControlConnection, Deferred[Any]]:
        """Subscribe to `events`.

        @return: the connection, to be closed, and what fires when it is gone.
        @raise UplinkError: that failed.
        """
        made: list[ListeningProtocol] = []

        def make() -> ListeningProtocol:
            made.append(ListeningProtocol(self.clock, heard))
            return made[-1]

        server = await self._open(make)
        gone: Deferred[Any] = made[-1].whenDisconnected()
        try:
            await server.ask("SUBSCRIBE", *events)
        except BaseException:
            server.close()
            raise
        return server, gone

    async def _open(self, make: Callable[[], Any]) -> ControlConnection:
        return await open_connection(
            ControlConnection,
            self.name,
            lambda _: self._dial(make),
            self._source,
            self.clock,
            self._timeout_s,
        )
