"""One AMP connection between a control plane and a data plane: what both ends of it have in common.

Values of any size (L{large}), file descriptors, and bounds on all that the other side may make this one hold. Whoever
breaks the protocol is disconnected with one line in the log that holds nothing of what was sent.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from itertools import count
from typing import Any

from twisted.internet.interfaces import IReactorTime, IWriteDescriptor
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from twisted.protocols import amp
from twisted.python.failure import Failure

from redisproxy.remote.large import Piece, Pieces, ProtocolBroken

MAX_BOX_BYTES = 1024 * 1024
MAX_UNCLAIMED = 256
"""Descriptors that have arrived before the boxes that name them."""


class Link(amp.AMP):
    """One end.

    @ivar pieces: see L{Pieces}. @ivar lost: the connection is gone, and nothing comes back on it.
    @param on_lost: called once, when it is.
    """

    log = Logger(namespace="redisproxy.link")

    def __init__(self, clock: IReactorTime, on_lost: Callable[[Link], None]) -> None:
        super().__init__()
        self.clock = clock
        self.pieces = Pieces()
        self.lost = False
        self._on_lost = on_lost
        self._box_bytes = 0
        self._descriptors_arrived = count()
        self._unclaimed: dict[int, int] = {}

    # -- what arrives

    def stringReceived(self, string: bytes) -> None:
        """Part of AMP: a key or a value of a box."""
        self._box_bytes += len(string) + 2
        if self._box_bytes > MAX_BOX_BYTES:
            self.broken(f"a box of more than {MAX_BOX_BYTES} bytes")
        elif not self.lost:
            super().stringReceived(string)

    def ampBoxReceived(self, box: amp.AmpBox) -> None:
        """Part of AMP: a box is whole."""
        self._box_bytes = 0
        if self.lost:
            return
        try:
            super().ampBoxReceived(box)
        except ProtocolBroken as error:
            self.broken(str(error))
        except (KeyError, ValueError, amp.AmpError) as error:
            self.broken(f"a box that makes no sense ({type(error).__name__})")

    def locateResponder(self, name: bytes) -> Callable[[amp.AmpBox], Any] | None:
        """Part of AMP: who takes this command. Pieces, and what L{responder} finds; nothing that AMP brings along."""
        return self._take_piece if name == Piece.commandName else self.responder(name)

    def responder(self, name: bytes) -> Callable[[amp.AmpBox], Any] | None:
        """Who takes this command of the other side; None when nobody does."""
        return None

    def _take_piece(self, box: amp.AmpBox) -> amp.AmpBox:
        try:
            self.pieces.add(**Piece.parseArguments(box, self))
        except ProtocolBroken as error:
            self.broken(str(error))
        except (KeyError, ValueError):
            self.broken("a piece that is none")
        return amp.AmpBox()

    def broken(self, what: str) -> None:
        """The other side has broken the protocol: disconnect."""
        if not self.lost:
            self.log.error("the connection is closed, because the other side has sent {what}", what=what)
            self.abort()

    # -- descriptors

    def fileDescriptorReceived(self, descriptor: int) -> None:
        """Part of C{IFileDescriptorReceiver}: keep it until a box names it."""
        if self.lost or len(self._unclaimed) >= MAX_UNCLAIMED:
            os.close(descriptor)
            self.broken(f"more than {MAX_UNCLAIMED} descriptors that no box has named")
        else:
            self._unclaimed[next(self._descriptors_arrived)] = descriptor

    def claim(self, number: int) -> int:
        """The descriptor of this number, which belongs to the caller from now on.

        @raise ProtocolBroken: there is none.
        """
        try:
            return self._unclaimed.pop(number)
        except KeyError:
            raise ProtocolBroken("the number of a descriptor that has not arrived") from None

    def send_now(self) -> None:
        """Have the system take what was written in this turn: the other side gets it also if this process is killed."""
        transport: Any = self.transport
        if not self.lost and IWriteDescriptor.providedBy(transport):
            transport.doWrite()  # a failure is found again by the reactor

    # -- the end

    def abort(self) -> None:
        """Disconnect now; what waits for the other side fails."""
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()
        self._gone()

    def unhandledError(self, failure: Failure) -> None:
        """Part of AMP: something here has failed that should not; its text may hold what was sent."""
        self.log.error("the connection is closed after {error}", error=type(failure.value).__name__)
        self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Part of C{IProtocol}."""
        self._gone()
        super().connectionLost(reason)

    def _gone(self) -> None:
        if self.lost:
            return
        self.lost = True
        self.pieces.clear()
        unclaimed, self._unclaimed = self._unclaimed, {}
        for descriptor in unclaimed.values():
            os.close(descriptor)
        self.end_work()
        self._on_lost(self)

    def end_work(self) -> None:
        """The connection is lost: end what needs it."""


def connected(reactor: Any, descriptor: int, protocol: Any) -> None:
    """Make `protocol` that of a connected Unix socket, which is its transport's from now on."""
    factory: Any = Factory()
    factory.buildProtocol = lambda address: protocol
    factory.noisy = False
    os.set_blocking(descriptor, False)
    reactor.adoptStreamConnection(descriptor, socket.AF_UNIX, factory)
    os.close(descriptor)


class Descriptor(amp.Descriptor):
    """A file descriptor, over a Unix socket. Its sender keeps it open until the order is answered."""

    def fromStringProto(self, inString: bytes, proto: Any) -> int:
        """The receiver's own copy, to be closed by whoever gets it.

        @raise ProtocolBroken: there is none.
        """
        if not inString.isdigit():
            raise ProtocolBroken("a descriptor without a number")
        descriptor: int = proto.claim(int(inString))
        return descriptor
