"""How values of each type are read, whole or in pieces, and written. Streams have a module of their own, L{stream}.

Sources: the pages of the commands at https://redis.io/docs/latest/commands/.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from redisproxy.copying.endpoint import Command, Endpoint, Features
from redisproxy.copying.hash_fields import KEEP, expiry_commands, with_expiry
from redisproxy.copying.hyperloglog import without_count
from redisproxy.copying.items import PIECE_BYTES, Item, PieceSize
from redisproxy.copying.replies import KeyChanged, checked
from redisproxy.copying.stream import StreamKind


class Kind(Protocol):
    """Values of one type."""

    def pieces(self, server: Endpoint, key: bytes) -> AsyncIterator[list[Item]]:
        """Read a value in pieces; nothing if the key is gone.

        What changes meanwhile may be missing, be there twice, or be of different moments.

        @raise KeyChanged: it changed its type, or vanished.
        @raise UplinkError: the server did not answer.
        """

    def write(self, key: bytes, items: Sequence[Item], features: Features) -> list[Command]:
        """The commands that add items to a value, or begin it, at a server that can do `features`."""

    def comparable(self, items: Sequence[Item], detail: Features) -> Sequence[Item]:
        """Items as they are compared: numbers in one form, and nothing but what `detail` asks for."""


class WholeKind(Kind, Protocol):
    """Values of a type that one command reads at once."""

    def whole(self, key: bytes) -> Command:
        """The command."""

    def items(self, reply: Any) -> list[Item]:
        """The items in its answer; none if the key is gone."""


class _String:
    """Items: offset and bytes, in pieces that are the same for every server."""

    def whole(self, key: bytes) -> Command:
        return "GET", key

    def items(self, reply: Any) -> list[Item]:
        if reply is None:
            return []
        pieces = range(0, max(len(reply), 1), PIECE_BYTES)
        return [(b"%d" % at, reply[at : at + PIECE_BYTES]) for at in pieces]

    async def pieces(self, server: Endpoint, key: bytes) -> AsyncIterator[list[Item]]:
        """Read from the end on: so the first that is written makes all the room that the value needs."""
        size = checked(await server.ask_all(("STRLEN", key)))[0]
        for at in reversed(range(0, max(size, 1), PIECE_BYTES)):
            (piece,) = checked(await server.ask_all(("GETRANGE", key, at, at + PIECE_BYTES - 1)))
            if len(piece) != min(PIECE_BYTES, size - at):
                raise KeyChanged
            yield [(b"%d" % at, piece)]

    def write(self, key: bytes, items: Sequence[Item], features: Features) -> list[Command]:
        first, value = items[0]
        if first == b"0" and len(value) < PIECE_BYTES:  # SET stores it as short as it can
            return [("SET", key, value)]
        return [("SETRANGE", key, at, piece) for at, piece in reversed(items)]

    def comparable(self, items: Sequence[Item], detail: Features) -> Sequence[Item]:
        return [(at, without_count(piece) if at == b"0" else piece) for at, piece in items]


class _List:
    """Items: index and element."""

    def whole(self, key: bytes) -> Command:
        return "LRANGE", key, 0, -1

    def items(self, reply: Any, first: int = 0) -> list[Item]:
        return [(b"%d" % (first + at), element) for at, element in enumerate(reply)]

    async def pieces(self, server: Endpoint, key: bytes) -> AsyncIterator[list[Item]]:
        size, at = PieceSize(), 0
        while True:
            (reply,) = checked(await server.ask_all(("LRANGE", key, at, at + size.count - 1)))
            if not reply:
                return
            yield (items := self.items(reply, at))
            at += len(items)
            size.took(items)

    def write(self, key: bytes, items: Sequence[Item], features: Features) -> list[Command]:
        return [("RPUSH", key, *(element for _, element in items))]

    def comparable(self, items: Sequence[Item], detail: Features) -> Sequence[Item]:
        return items


class _Set:
    """Items: one member each."""

    def whole(self, key: bytes) -> Command:
        return "SMEMBERS", key

    def items(self, reply: Any) -> list[Item]:
        return [(member,) for member in reply]

    async def pieces(self, server: Endpoint, key: bytes) -> AsyncIterator[list[Item]]:
        async for reply in scanned(server, "SSCAN", key, self.items):
            yield reply

    def write(self, key: bytes, items: Sequence[Item], features: Features) -> list[Command]:
        return [("SADD", key, *(member for (member,) in items))]

    def comparable(self, items: Sequence[Item], detail: Features) -> Sequence[Item]:
        return items


class _Zset:
    """Items: member and score, as the server prints it: enough digits to be exact."""

    def whole(self, key: bytes) -> Command:
        return "ZRANGE", key, 0, -1, "WITHSCORES"

    def items(self, reply: Any) -> list[Item]:
        return list(zip(reply[::2], reply[1::2], strict=True))

    async def pieces(self, server: Endpoint, key: bytes) -> AsyncIterator[list[Item]]:
        size, at = PieceSize(), 0
        while True:
            (reply,) = checked(await server.ask_all(("ZRANGE", key, at, at + size.count - 1, "WITHSCORES")))
            if not reply:
                return
            yield (items := self.items(reply))
            at += len(items)
            size.took(items)

    def write(self, key: bytes, items: Sequence[Item], features: Features) -> list[Command]:
        return [("ZADD", key, *(part for member, score in items for part in (score, member)))]

    def comparable(self, items: Sequence[Item], detail: Features) -> Sequence[Item]:
        # Minus zero is zero: servers forget its sign when they store it in few bytes.
        return [(member, struct.pack(">d", float(score) + 0.0)) for member, score in items]


class _Hash:
    """Items: field, value, and when the field expires (Unix time in ms, or L{KEEP})."""

    def whole(self, key: bytes) -> Command:
        return "HGETALL", key

    def items(self, reply: Any) -> list[Item]:
        return [(field, value, KEEP) for field, value in zip(reply[::2], reply[1::2], strict=True)]

    async def pieces(self, server: Endpoint, key: bytes) -> AsyncIterator[list[Item]]:
        async for items in scanned(server, "HSCAN", key, self.items):
            (complete,) = await with_expiry(server, [(key, items)])
            if complete is None:
                raise KeyChanged
            if complete:
                yield complete

    def write(self, key: bytes, items: Sequence[Item], features: Features) -> list[Command]:
        pairs = (part for field, value, _ in items for part in (field, value))
        return [("HSET", key, *pairs), *(expiry_commands(key, items) if features.field_expiry else ())]

    def comparable(self, items: Sequence[Item], detail: Features) -> Sequence[Item]:
        return items if detail.field_expiry else [(field, value) for field, value, _ in items]


async def scanned(server: Endpoint, command: str, key: bytes, items_of: Any) -> AsyncIterator[list[Item]]:
    """Read with SSCAN or HSCAN."""
    size, cursor = PieceSize(), b"0"
    while True:
        ((cursor, reply),) = checked(await server.ask_all((command, key, cursor, "COUNT", size.count)))
        if items := items_of(reply):
            yield items
        if cursor == b"0":
            return
        size.took(items)


WHOLE_KINDS: dict[str, WholeKind] = {
    "string": _String(),
    "list": _List(),
    "set": _Set(),
    "zset": _Zset(),
    "hash": _Hash(),
}
"""By the name that TYPE tells."""
KINDS: dict[str, Kind] = {**WHOLE_KINDS, "stream": StreamKind()}
