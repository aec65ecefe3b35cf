"""Two ends of a connection in memory, on a Clock: bytes arrive late, cut anywhere, and descriptors ahead of them."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure


class PipeEnd:
    """A transport with what AMP uses of C{IUNIXTransport}.

    @ivar producer: told when the transport has enough, by the test.
    """

    producer: Any = None

    def __init__(self, clock: IReactorTime, delay_s: float) -> None:
        self.clock = clock
        self.delay_s = delay_s
        self.peer: PipeEnd = self
        self.protocol: Any = None
        self.gone = False
        self.silent = False
        self.sent = bytearray()

    def write(self, data: bytes) -> None:
        """What is written now arrives after the delay, in order."""
        if not (self.gone or self.silent):
            self.sent += data
            self.clock.callLater(self.delay_s, self.peer.arrive, data)

    def sendFileDescriptor(self, descriptor: int) -> None:
        """The other side gets a copy."""
        self.clock.callLater(self.delay_s, self.peer.arrive_descriptor, os.dup(descriptor))

    def arrive(self, data: bytes) -> None:
        """In two pieces."""
        for piece in (data[:7], data[7:]):
            if piece and not self.gone:
                self.protocol.dataReceived(piece)

    def arrive_descriptor(self, descriptor: int) -> None:
        """A descriptor comes before the data that names it."""
        if self.gone:
            os.close(descriptor)
        else:
            self.protocol.fileDescriptorReceived(descriptor)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Part of C{ITransport}."""
        self.producer = producer

    def unregisterProducer(self) -> None:
        """Part of C{ITransport}."""
        self.producer = None

    def loseConnection(self) -> None:
        """Like C{abortConnection}: nobody here waits for what is on its way."""
        self.abortConnection()

    def abortConnection(self) -> None:
        """Both ends notice a little later."""
        self.clock.callLater(0, self.lose, ConnectionDone())
        self.clock.callLater(self.delay_s, self.peer.lose, ConnectionLost())

    def lose(self, reason: Exception | None = None) -> None:
        """The connection is gone, for this end."""
        if not self.gone:
            self.gone = True
            self.protocol.connectionLost(Failure(reason or ConnectionLost()))

    def getPeer(self) -> UNIXAddress:
        return UNIXAddress("peer")

    def getHost(self) -> UNIXAddress:
        return UNIXAddress("host")


def pipe(clock: IReactorTime, one: Any, other: Any, delay_s: float = 0.001) -> tuple[PipeEnd, PipeEnd]:
    """Connect two protocols; their transports."""
    ends = PipeEnd(clock, delay_s), PipeEnd(clock, delay_s)
    ends[0].peer, ends[1].peer = ends[1], ends[0]
    for end, protocol in zip(ends, (one, other), strict=True):
        end.protocol = protocol
        protocol.makeConnection(end)
    return ends
