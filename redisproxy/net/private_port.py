"""Unix sockets that only this user may connect to, in a directory that other processes may remove at any time."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

BACKLOG = 50
PRIVATE = 0o600


class PrivatePort(unix.Port):
    """A listening Unix socket that closes in order although its file is gone."""

    def connectionLost(self, reason: Failure) -> None:
        try:
            super().connectionLost(reason)  # type: ignore[no-untyped-call]
        except FileNotFoundError:
            tcp.Port.connectionLost(self, reason)


def listen_privately(reactor: Any, path: str, link: Callable[[], Any]) -> IListeningPort:
    """Listen at `path`; each connection gets a protocol of its own from `link`.

    @raise CannotListenError: the path can't be bound.
    """
    factory: Any = Factory()
    factory.buildProtocol = lambda address: link()
    factory.noisy = False
    port: Any = PrivatePort(os.fsencode(path), factory, BACKLOG, PRIVATE, reactor)
    port.startListening()
    return port  # type: ignore[no-any-return]
