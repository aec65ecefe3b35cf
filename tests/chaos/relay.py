"""A TCP relay that injects faults: latency, data in small pieces, resets, half-closes, silent connections."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.internet.threads import blockingCallFromThread
from twisted.python.failure import Failure
from zope.interface import implementer

reactor: Any = global_reactor
QUEUE_BYTES = 1 << 20
MAX_CHUNKS = 50
CHUNK_GAP_S = 0.0003


@dataclass(frozen=True)
class Weather:
    """What a relay does to what passes.

    @ivar chunk_bytes: pass data in pieces of so many bytes; 0: as it comes.
    @ivar stall: accept connections and hold everything until this is over.
    @ivar blackhole: throw everything away; connections that have lost something are reset when this is over.
    @ivar refuse: reset every new connection.
    @ivar cut_after_bytes: reset a connection once so many bytes of replies have passed.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    chunk_bytes: int = 0
    stall: bool = False
    blackhole: bool = False
    refuse: bool = False
    cut_after_bytes: int | None = None


CLEAR = Weather()


@implementer(IHalfCloseableProtocol)
class End(Protocol):
    """One end of a relayed connection; what it receives leaves at `other`, in order and each piece when it is due."""

    transport: Any

    def __init__(self, relay: Relay, replies: bool) -> None:
        self.relay = relay
        self.replies = replies
        self.other: End | None = None
        self.queue: deque[tuple[float, bytes | Callable[[], None]]] = deque()
        self.queued = 0
        self.due = 0.0
        self.call: Any = None
        self.robbed = False
        self.gone = self.drained = self.half_closed = False

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        if not self.replies:
            self.relay.opened(self)
        elif self.other is not None and self.other.gone:
            self.transport.abortConnection()
        elif self.other is not None:
            self.other.flush()

    def dataReceived(self, data: bytes) -> None:
        weather = self.relay.weather
        if weather.blackhole or self.robbed:
            self.robbed = True
            return
        if self.replies and weather.cut_after_bytes is not None and len(data) > weather.cut_after_bytes:
            data, self.robbed = data[: weather.cut_after_bytes], True
        for piece in self.relay.pieces(data):
            self._put(piece)
        if self.robbed:
            self._put(self.reset)
        self.flush()

    def _put(self, piece: bytes | Callable[[], None]) -> None:
        self.due = max(self.due + CHUNK_GAP_S, reactor.seconds() + self.relay.delay())
        self.queue.append((self.due, piece))
        self.queued += len(piece) if isinstance(piece, bytes) else 0
        if self.queued > QUEUE_BYTES:
            self.transport.pauseProducing()

    def flush(self) -> None:
        """Pass on what is due, and schedule the rest."""
        if self.call is not None and self.call.active():
            self.call.cancel()
        if self.relay.weather.stall or self.other is None or self.other.transport is None:
            return
        while self.queue and self.queue[0][0] <= reactor.seconds():
            self._send(self.queue.popleft()[1])
        if self.queue:
            self.call = reactor.callLater(max(0.0, self.queue[0][0] - reactor.seconds()), self.flush)

    def _send(self, piece: bytes | Callable[[], None]) -> None:
        assert self.other is not None and self.other.transport is not None
        if not isinstance(piece, bytes):
            piece()
            return
        self.queued = max(0, self.queued - len(piece))
        self.other.transport.write(piece)
        if self.queued < QUEUE_BYTES and not self.gone:
            self.transport.resumeProducing()

    def readConnectionLost(self) -> None:
        self._put(self._half_close)
        self.flush()

    def _half_close(self) -> None:
        self.drained = True
        if self.other is not None and not self.other.gone:
            self.other.transport.loseWriteConnection()

    def writeConnectionLost(self) -> None:
        self.half_closed = True
        other = self.other
        if other is not None and all(end.drained and end.half_closed for end in (self, other)):
            for end in (self, other):  # Twisted keeps a connection of which both halves have ended
                end.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone = True
        if self.call is not None and self.call.active():
            self.call.cancel()
        self.relay.ends.discard(self)
        if self.other is not None and not self.other.gone and self.other.transport is not None:
            self.other.transport.abortConnection()

    def reset(self) -> None:
        """End both sides with RST."""
        for end in (self, self.other):
            if end is not None and end.transport is not None:
                end.transport.abortConnection()


class _Dial(ClientFactory):
    noisy = False

    def __init__(self, end: End) -> None:
        self.end = end

    def buildProtocol(self, addr: Any) -> End:
        made = End(self.end.relay, replies=True)
        made.other, self.end.other = self.end, made
        return made

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        if self.end.transport is not None:
            self.end.transport.abortConnection()


class _Accept(Factory[Any]):
    noisy = False

    def __init__(self, relay: Relay) -> None:
        self.relay = relay

    def buildProtocol(self, addr: Any) -> End:
        return End(self.relay, replies=False)


class Relay:
    """Listens on a port of its own and relays to `target`. Its public methods may be called from any thread."""

    def __init__(self, name: str, target: int, chance: random.Random) -> None:
        self.name = name
        self.target = target
        self.weather = CLEAR
        self.ends: set[End] = set()
        self._chance = chance
        self._port = self._call(lambda: reactor.listenTCP(0, _Accept(self), interface="127.0.0.1"))
        self.port: int = self._port.getHost().port

    @staticmethod
    def _call(work: Callable[[], Any]) -> Any:
        return blockingCallFromThread(reactor, work)

    def set(self, weather: Weather) -> None:
        """Change the weather."""
        self._call(lambda: self._set(weather))

    def clear(self) -> None:
        """Pass everything on at once from now on."""
        self.set(CLEAR)

    def reset(self) -> int:
        """Reset every connection; how many there were."""
        return self._call(lambda: self._each(End.reset))

    def half_close(self) -> int:
        """Tell whoever has connected that no more replies will come."""
        return self._call(lambda: self._each(lambda end: end.gone or end.transport.loseWriteConnection()))

    def close(self) -> None:
        """Listen no more, and reset everything."""
        self._call(self._port.stopListening)
        self.reset()

    def _set(self, weather: Weather) -> None:
        self.weather = weather
        for end in list(self.ends):
            if not weather.blackhole and (end.robbed or (end.other is not None and end.other.robbed)):
                end.reset()
                continue
            end.flush()
            if end.other is not None:
                end.other.flush()

    def _each(self, act: Callable[[End], object]) -> int:
        ends = list(self.ends)
        for end in ends:
            act(end)
        return len(ends)

    def opened(self, end: End) -> None:
        """Somebody has connected."""
        if self.weather.refuse:
            end.transport.abortConnection()
            return
        self.ends.add(end)
        reactor.connectTCP("127.0.0.1", self.target, _Dial(end), timeout=5)

    def delay(self) -> float:
        """How long the next piece takes, in seconds."""
        weather = self.weather
        return weather.delay_s + (self._chance.random() * weather.jitter_s if weather.jitter_s else 0.0)

    def pieces(self, data: bytes) -> list[bytes]:
        """Cut data into pieces; the rest of long data is one piece."""
        size = self.weather.chunk_bytes
        if not size:
            return [data]
        cut = min(len(data), size * MAX_CHUNKS)
        return [data[at : min(at + size, cut)] for at in range(0, cut, size)] + (
            [data[cut:]] if cut < len(data) else []
        )
