"""A listening socket that another process owns as well, for Twisted's transports.

Twisted's own port for unix sockets shuts a passed socket down in the end and removes its file, which would end the
service manager's socket, too.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from redisproxy.net.detached import DetachedSocket
from redisproxy.net.shortage import REST_S, SHORTAGES, Shortage
from redisproxy.net.sockets import address_from
from redisproxy.net.twisted_transports import adopt

ACCEPTS = 64


@implementer(IListeningPort, IReadDescriptor)
class PassedPort:
    """Accepts connections until it is told to stop."""

    log = Logger(namespace="redisproxy.network")

    def __init__(self, reactor: Any, listening: socket.socket, factory: Any) -> None:
        self._reactor = reactor
        self._socket: socket.socket | None = listening
        self._factory = factory
        self._rest: IDelayedCall | None = None
        self._shortage = Shortage(reactor.seconds)
        factory.doStart()
        reactor.addReader(self)

    def fileno(self) -> int:
        """Part of IReadDescriptor."""
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        """Part of IReadDescriptor."""
        return "PassedPort"

    def doRead(self) -> None:
        """Accept whoever waits, a bounded number in one turn."""
        for _ in range(ACCEPTS):
            if self._socket is None:
                return
            try:
                accepted, _ = self._socket.accept()
            except OSError as error:
                if error.errno in SHORTAGES:
                    self._rest_for_a_moment(error.errno)
                return
            self._begin(accepted)

    def _begin(self, accepted: socket.socket) -> None:
        try:
            protocol = self._factory.buildProtocol(None)
        except Exception:
            self.log.failure("a connection could not be taken in")
            protocol = None
        if protocol is None:
            accepted.close()
        else:
            adopt(self._reactor, DetachedSocket(accepted.detach()), lambda: protocol)

    def _rest_for_a_moment(self, error: int) -> None:
        self._shortage.tell(error)
        self._reactor.removeReader(self)
        self._rest = self._reactor.callLater(REST_S, self._resume)

    def _resume(self) -> None:
        self._rest = None
        self._reactor.addReader(self)

    def startListening(self) -> None:
        """It listens from the beginning."""

    def stopListening(self) -> Deferred[None]:
        """Accept nobody any more; what waits to be accepted is left to the other process."""
        self.connectionLost(Failure(ConnectionDone()))
        return succeed(None)

    def connectionLost(self, reason: Failure) -> None:
        """Part of IReadDescriptor."""
        listening, self._socket = self._socket, None
        if listening is None:
            return
        if self._rest is not None:
            self._rest.cancel()
        else:
            self._reactor.removeReader(self)
        listening.close()
        self._factory.doStop()

    def getHost(self) -> Any:
        """Where it listens."""
        assert self._socket is not None
        return address_from(self._socket.getsockname())
