"""Values of any size over AMP, whose own are at most 65,535 bytes long.

A larger value goes ahead in pieces on the same connection, so that all have arrived when the box that names it does.
What has arrived and was not named yet is bounded, and goes with the connection. L{link.Link} has one L{Pieces}.
"""

from __future__ import annotations

from itertools import count
from typing import Any

from twisted.protocols import amp

PIECE_BYTES = 60_000
MAX_BYTES = 128 * 1024 * 1024
"""Of one value, and of all that wait to be named on one connection. Unread replies of a client may be half as large."""
PIECE_COST_BYTES = 200
"""Counted for each piece beside its own bytes, so that very small ones are bounded, too."""

_WHOLE, _IN_PIECES = b"=", b"+"


class TooLarge(ValueError):
    """A value is larger than the other side would take."""


class ProtocolBroken(ValueError):
    """The other side does not keep to the protocol; C{str()} holds nothing of what it has sent."""


class Piece(amp.Command):
    """A part of the large value of this number, in order."""

    arguments = [(b"value", amp.Integer()), (b"data", amp.String())]  # noqa: RUF012
    requiresAnswer = False


class Pieces:
    """The large values of one connection: those that arrive, and the numbers of those that leave.

    @param max_bytes: how much may wait to be named.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._arrived: dict[int, list[bytes]] = {}
        self._held_bytes = 0
        self._numbers = count(1)

    def next_number(self) -> int:
        """The number of the next value that leaves."""
        return next(self._numbers)

    def add(self, value: int, data: bytes) -> None:
        """A piece has arrived.

        @raise ProtocolBroken: it is too much.
        """
        self._held_bytes += len(data) + PIECE_COST_BYTES
        if self._held_bytes > self._max_bytes + self._max_bytes // 100:
            self.clear()
            raise ProtocolBroken(f"more than {self._max_bytes} bytes of values that no box has named")
        self._arrived.setdefault(value, []).append(data)

    def take(self, value: int, size: int) -> bytes:
        """The value of this number, whole.

        @raise ProtocolBroken: it has not arrived like that.
        """
        pieces = self._arrived.pop(value, [])
        data = b"".join(pieces)
        self._held_bytes -= len(data) + PIECE_COST_BYTES * len(pieces)
        if len(data) != size:
            raise ProtocolBroken(f"a value of {size} bytes was named, of which {len(data)} have arrived")
        return data

    def clear(self) -> None:
        """Forget what has arrived: the connection is lost."""
        self._arrived.clear()
        self._held_bytes = 0


class Large(amp.Argument):
    """Bytes of any length up to L{MAX_BYTES}; C{proto} is a L{link.Link}."""

    def toStringProto(self, inObject: Any, proto: Any) -> bytes:
        """
        @raise TooLarge: it is.
        """
        data: bytes = inObject
        if len(data) <= PIECE_BYTES:
            return _WHOLE + data
        if len(data) > MAX_BYTES:
            raise TooLarge(f"a value of {len(data)} bytes, and {MAX_BYTES} is the most that an order may carry")
        number = proto.pieces.next_number()
        for at in range(0, len(data), PIECE_BYTES):
            proto.callRemote(Piece, value=number, data=data[at : at + PIECE_BYTES])
        return b"%s%d %d" % (_IN_PIECES, number, len(data))

    def fromStringProto(self, inString: bytes, proto: Any) -> Any:
        """
        @raise ProtocolBroken: its pieces are not there.
        """
        kind, rest = inString[:1], inString[1:]
        if kind == _WHOLE:
            return rest
        number, _, size = rest.partition(b" ")
        if kind != _IN_PIECES or not (number.isdigit() and size.isdigit()):
            raise ProtocolBroken("a value that is neither whole nor in pieces")
        return proto.pieces.take(int(number), int(size))
