"""One connection between two peers: at first each proves to the other that it belongs to the fleet, then links speak.

Who can't prove it is disconnected, having learned nothing but that this is a fleet's port. All that it may make this
side hold is bounded: time, bytes, and how many may be at it at once (C{admission}).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from redisproxy.fleet.proof import GREETING, NONCE_BYTES, PROOF_BYTES, NotProven, Proof, Sealed
from redisproxy.fleet.unsent import Unsent

if TYPE_CHECKING:
    from redisproxy.remote.link import Link

PROVE_S = 5.0
NO_GREETING = "it has sent something else than a greeting"
TOO_SLOW = "it has not proven within {limit:g} s that it belongs to the fleet"
CLOSED = (
    "it has closed the connection before both had proven that they belong to the fleet: is the secret the same? Do both"
    " have TLS, or none, and does each trust the other's certificate?"
)


class State(Enum):
    """How far a connection is."""

    GREETING = "greeting"
    PROVING = "proving"
    OPEN = "open"
    CLOSED = "closed"


class Judge(Protocol):
    """Who made a channel, and wants to know what becomes of it."""

    def arrived(self, channel: Channel) -> None:
        """It is connected: C{host} says to whom."""

    def proven(self, channel: Channel) -> None:
        """The other side belongs to the fleet; its link speaks from now on."""

    def refused(self, channel: Channel, why: str) -> None:
        """It does not, or has gone before that was known."""

    def ended(self, channel: Channel) -> None:
        """The connection is gone."""


class Channel(TwistedProtocol):
    """The protocol of the connection, and the transport of its link.

    @ivar host: where the other side is.
    @param key: what both sides prove to have. @param calls: this side has made the connection.
    @param link: makes what speaks here, once the other side has proven itself.
    """

    def __init__(self, key: bytes, calls: bool, link: Callable[[], Link], judge: Judge, clock: IReactorTime) -> None:
        self._key = key
        self._calls = calls
        self._make_link = link
        self._judge = judge
        self._clock = clock
        self._state = State.GREETING
        self._received = bytearray()
        self._nonce = secrets.token_bytes(NONCE_BYTES)
        self._proof: Proof | None = None
        self._sealed: Sealed | None = None
        self._deadline: IDelayedCall | None = None
        self._unsent = Unsent()
        self.link: Link | None = None
        self.host = ""

    def connectionMade(self) -> None:
        """Part of C{IProtocol}."""
        self.host = str(getattr(self._transport.getPeer(), "host", ""))
        self._transport.registerProducer(self._unsent, True)
        self._deadline = self._clock.callLater(PROVE_S, self._refuse, TOO_SLOW.format(limit=PROVE_S))
        if self._calls:
            self._transport.write(GREETING + self._nonce)
        self._judge.arrived(self)

    @property
    def _transport(self) -> Any:
        return self.transport

    # -- until it is open

    def dataReceived(self, data: bytes) -> None:
        """Part of C{IProtocol}."""
        try:
            if self._state is State.OPEN:
                self._take(data)
            elif self._state is not State.CLOSED:
                self._received += data
                self._prove()
        except NotProven as error:
            self._refuse(str(error))

    def _prove(self) -> None:
        """Take as much of the greeting and of the proof as has come; nothing may come behind what this side awaits."""
        if self._state is State.GREETING and self._greeted():
            self._state = State.PROVING
        if self._state is State.PROVING and len(self._received) >= PROOF_BYTES:
            proof, rest = bytes(self._received[:PROOF_BYTES]), bytes(self._received[PROOF_BYTES:])
            self._received.clear()
            self._open(proof, rest)

    def _greeted(self) -> bool:
        received, size = self._received, len(GREETING) + NONCE_BYTES
        if received[: len(GREETING)] != GREETING[: len(received)]:
            raise NotProven(NO_GREETING)
        if len(received) < size:
            return False
        others = bytes(received[len(GREETING) : size])
        del received[:size]
        callers, listeners = (self._nonce, others) if self._calls else (others, self._nonce)
        self._proof = Proof(self._key, self._calls, callers, listeners)
        self._transport.write(self._proof.own() if self._calls else GREETING + self._nonce)
        return True

    def _open(self, proof: bytes, rest: bytes) -> None:
        assert self._proof is not None
        self._proof.check(proof)
        if not self._calls:
            self._transport.write(self._proof.own())
        self._sealed, self._state = Sealed(*self._proof.seals()), State.OPEN
        self._stop_waiting()
        link = self.link = self._make_link()
        link.makeConnection(self)
        self._judge.proven(self)
        if rest:
            self._take(rest)

    def _refuse(self, why: str) -> None:
        if self._state is State.CLOSED:
            return
        link, self._state = self.link, State.CLOSED
        self._received.clear()
        self._stop_waiting()
        self._transport.abortConnection()
        if link is None:
            self._judge.refused(self, why)
        else:
            link.broken(why)

    def _stop_waiting(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def give_up(self) -> None:
        """Nobody wants this connection any more."""
        if self.transport is not None:
            self.abortConnection()

    # -- the connection, as the link sees it

    def _take(self, data: bytes) -> None:
        assert self._sealed is not None and self.link is not None
        if opened := self._sealed.opened(data):
            self.link.dataReceived(opened)

    def write(self, data: bytes) -> None:
        """Part of C{ITransport}."""
        if self._state is not State.OPEN or self._sealed is None:
            return
        sealed = self._sealed.sealed(data)
        self._transport.write(sealed)
        if self._unsent.add(len(sealed)) and not self._is_ending:
            self._deadline = self._clock.callLater(0, self._too_much)

    @property
    def _is_ending(self) -> bool:
        return self._deadline is not None and self._deadline.active()

    def _too_much(self) -> None:
        """It does not read what it is sent."""
        if self.link is not None:
            self.link.abort()

    def loseConnection(self) -> None:
        """Part of C{ITransport}."""
        self._state = State.CLOSED
        self._transport.unregisterProducer()
        self._transport.loseConnection()

    def abortConnection(self) -> None:
        """Part of C{ITCPTransport}."""
        self._state = State.CLOSED
        self._stop_waiting()
        self._transport.abortConnection()

    def getPeer(self) -> Any:
        """Part of C{ITransport}."""
        return self._transport.getPeer()

    def getHost(self) -> Any:
        """Part of C{ITransport}."""
        return self._transport.getHost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Part of C{IProtocol}."""
        unproven = self.link is None and self._state is not State.CLOSED
        self._state = State.CLOSED
        self._stop_waiting()
        if unproven:
            self._judge.refused(self, CLOSED)
        if self.link is not None:
            self.link.connectionLost(reason)
        self._judge.ended(self)
