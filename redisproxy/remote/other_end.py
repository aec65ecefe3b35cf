"""The process at the other end of a Unix socket: whether it lives, whatever has become of the connection to it."""

from __future__ import annotations

import os
import select
import socket
import struct
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from redisproxy.remote.link import Link

_CREDENTIALS = struct.Struct("3i")
"""C{struct ucred} of C{unix(7)}: process, user, group."""


class OtherEnd(Protocol):
    """A process that gives orders."""

    def lives(self) -> bool:
        """Whether it has not ended; a process that is stopped lives."""

    def close(self) -> None:
        """Nobody asks any more."""


class UnknownEnd:
    """Implements L{OtherEnd}: nothing is known of it, so that it counts as ended."""

    @classmethod
    def of(cls, link: Link) -> UnknownEnd:
        """That of any connection."""
        return cls()

    def lives(self) -> bool:
        return False

    def close(self) -> None: ...


def pid_at_other_end(connection: socket.socket) -> int:
    """The number of the process that has connected, or that listens where this one has connected.

    @param connection: a Unix socket.
    """
    size = _CREDENTIALS.size
    pid: int = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[0]
    return pid


class ProcessAtOtherEnd:
    """Implements L{OtherEnd}. Linux has a descriptor for each process, which can be read once that has ended."""

    def __init__(self, link: Link) -> None:
        """
        @param link: connected over a Unix socket.
        """
        transport: Any = link.transport
        try:
            self._handle = os.pidfd_open(pid_at_other_end(transport.socket))
        except ProcessLookupError:
            self._handle = -1

    def lives(self) -> bool:
        if self._handle < 0:
            return False
        ended = select.poll()
        ended.register(self._handle, select.POLLIN)
        return not ended.poll(0)

    def close(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)
