"""The connection of a process to the one that takes its place: a Unix socket that both have from the beginning."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.protocol import Factory


def connected(reactor: Any, descriptor: int, protocol: Any) -> None:
    """Make `protocol` that of a connected Unix socket, which is its transport's from now on."""
    factory: Any = Factory()
    factory.buildProtocol = lambda address: protocol
    factory.noisy = False
    os.set_blocking(descriptor, False)
    reactor.adoptStreamConnection(descriptor, socket.AF_UNIX, factory)
    os.close(descriptor)
