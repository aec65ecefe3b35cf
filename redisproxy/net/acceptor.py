"""Accepts connections for other processes: they are given away before a byte of them is read."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from redisproxy.net.shortage import REST_S, SHORTAGES, Shortage

AT_ONCE = 16


@implementer(IReadDescriptor)
class Acceptor:
    """Accepts between L{resume} and L{pause}; meanwhile the kernel's backlog holds.

    @param listening: not blocking; it is closed at the end.
    @param take: called with each connection, which is its own.
    """

    def __init__(self, reactor: Any, listening: socket.socket, take: Callable[[socket.socket], None]) -> None:
        self._reactor = reactor
        self._socket = listening
        self._take = take
        self._accepting = False
        self._rest: IDelayedCall | None = None
        self._shortage = Shortage(reactor.seconds)

    def resume(self) -> None:
        """Accept."""
        if not self._accepting and self._socket.fileno() >= 0:
            self._accepting = True
            self._reactor.addReader(self)

    def pause(self) -> None:
        """Accept nobody for now."""
        if self._accepting:
            self._accepting = False
            self._reactor.removeReader(self)

    def close(self) -> None:
        """Accept nobody any more."""
        self.pause()
        if self._rest is not None and self._rest.active():
            self._rest.cancel()
        if self._socket.fileno() >= 0:
            self._socket.close()

    # -- what the reactor calls

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "redisproxy acceptor"

    def connectionLost(self, reason: Failure) -> None:
        """Part of C{IReadDescriptor}: the reactor gives its readers up when it ends."""

    def doRead(self) -> None:
        """Accept some; L{pause} may come in between."""
        for _ in range(AT_ONCE):
            if not self._accepting:
                return
            try:
                accepted, _peer = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in SHORTAGES:
                    self._rest_a_moment(error.errno)
                    return
                continue  # it has gone already
            self._take(accepted)

    def _rest_a_moment(self, error: int) -> None:
        self._shortage.tell(error)
        self._reactor.removeReader(self)
        self._rest = self._reactor.callLater(REST_S, self._rested)

    def _rested(self) -> None:
        if self._accepting:
            self._reactor.addReader(self)
