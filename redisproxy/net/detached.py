"""A connected socket on its way from one transport to another, in this process or in two.

A transport that detaches lets its socket go; C{Network.adopt} makes a transport of it again, here or in the process
that the descriptor was sent to. Bytes that lie in the memory of the old transport go along.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol


class NotDetachable(Exception):
    """The transport keeps its socket. C{str()} says why."""


@dataclass(frozen=True)
class DetachedSocket:
    """A connected stream socket without a transport.

    Whoever holds this value owns the descriptor: it has to be adopted, or closed. A descriptor that was sent to another
    process is closed here with L{close}, too, which leaves the connection alone.

    @ivar fd: the descriptor.
    @ivar unread: bytes that were read from the kernel and that no protocol was given yet.
    @ivar unsent: bytes that a protocol has written and the kernel has not taken.
    """

    fd: int
    unread: bytes = b""
    unsent: bytes = b""

    def close(self) -> None:
        """Close the descriptor, without C{shutdown()}: the connection ends if no other process has it."""
        os.close(self.fd)


class Detachable(Protocol):
    """What a transport has whose socket can be taken from it: all that a L{Network} has accepted or adopted.

    @ivar detachable: whether L{detach} would return. With TLS it never would: the keys of that client lie in OpenSSL's
        memory, and no other transport could go on with them.
    """

    @property
    def detachable(self) -> bool: ...

    def detach(self) -> DetachedSocket:
        """Let the socket go. It may be called at any time, by the protocol in C{dataReceived} as well.

        Afterwards the transport does nothing any more: it is not registered with the reactor, has no timer and no
        producer, and ignores what is written. The protocol is told nothing, no C{connectionLost} in particular,
        because nothing was lost; a producer is neither stopped nor resumed. What C{dataReceived} was called with is the
        protocol's. If the peer has ended its input, the next transport will read that end again.

        @raise NotDetachable: with TLS; after C{loseConnection}, C{loseWriteConnection} or C{abortConnection}; when the
            connection is lost, or known to be. The transport is then as it was before.
        """
