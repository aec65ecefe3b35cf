"""Unix sockets that only this user may connect to, in a directory that other processes may remove at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

PRIVATE = 0o600


def listen_privately(reactor: Any, path: str, link: Callable[[], Any]) -> IListeningPort:
    """Listen at `path`; each connection gets a protocol of its own from `link`.

    @raise CannotListenError: the path can't be bound.
    """
    factory: Any = Factory()
    factory.buildProtocol = lambda address: link()
    factory.noisy = False
    port: IListeningPort = reactor.listenUNIX(path, factory, mode=PRIVATE)
    return port


def close(port: IListeningPort) -> Deferred[Any]:
    """Listen no longer, in order also when the socket's file is gone."""
    return maybeDeferred(port.stopListening).addErrback(_without_file, port)


def _without_file(failure: Failure, port: Any) -> None:
    failure.trap(FileNotFoundError)
    tcp.Port.connectionLost(port, failure)
