"""Digests of keys, the same for equal values on servers of different versions.

Neither the order of a set's or a hash's members nor how a server stores them has any influence. Large values are read
in pieces. Not in it: how long ago pending entries of streams were delivered, and when consumers were last seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from redisproxy.copying.endpoint import Endpoint, Features
from redisproxy.copying.items import Item, Sum
from redisproxy.copying.kinds import KINDS
from redisproxy.copying.looks import COUNTS, Look, looks
from redisproxy.copying.reading import SMALL_BYTES, batches, is_small, read_pieces, read_small
from redisproxy.copying.replies import KeyChanged, checked

_TRIES = 3
UNREAD = b""
"""The digest of a value that is not known."""


@dataclass(frozen=True)
class Digest:
    """What a key is like.

    @ivar kind: its type as TYPE tells it; C{none} if there is no such key.
    @ivar value: the digest of its value; L{UNREAD} if it is not known, because the key changed while it was read, or is
        of a type whose values can't be read.
    @ivar expires_ms: the first and the last Unix time in ms at which it may expire (servers before 7.0 do not tell
        the time itself); None: never.
    """

    kind: str
    value: bytes
    expires_ms: tuple[int, int] | None


def in_common(one: Features, other: Features) -> Features:
    """What both servers can do: digests for a comparison have to leave out what one of them does not know."""
    return Features(
        field_expiry=one.field_expiry and other.field_expiry,
        stream_counts=one.stream_counts and other.stream_counts,
    )


def _always() -> bool:
    return True


async def digests(
    server: Endpoint, keys: Sequence[bytes], detail: Features, in_time: Callable[[], bool] = _always
) -> list[Digest]:
    """The digests of keys in the database that is selected, in their order.

    @param detail: what counts: times to live of fields (C{field_expiry}), counters of streams (C{stream_counts}).
    @param in_time: whether to go on reading large values; once it is not, those that are left have no digest.
    @raise UplinkError: the server did not answer.
    """
    looked = list(zip(keys, await looks(server, keys), strict=True))
    values: dict[bytes, bytes] = {}
    for batch in batches([each for each in looked if is_small(each[1])]):
        items = await read_small(server, batch)
        values |= {key: _of_items(each, look, detail) for (key, look), each in zip(batch, items, strict=True)}
    for key, look in looked:
        if look.kind in KINDS and key not in values:
            values[key] = await _of_pieces(server, key, look.kind, detail, in_time)
    return [_digest(look, values.get(key, UNREAD)) for key, look in looked]


def _digest(look: Look, value: bytes) -> Digest:
    # All fields of such a hash have expired, or it has gone meanwhile; it is there until the server removes it.
    if look.kind == "hash" and look.size <= SMALL_BYTES and value == UNREAD:
        return Digest("none", UNREAD, None)
    return Digest(look.kind, value, look.expires_ms)


def _of_items(items: list[Item] | None, look: Look, detail: Features) -> bytes:
    if items is None:
        return UNREAD
    total = Sum()
    total.add(KINDS[look.kind].comparable(items, detail))
    return total.digest()


async def _of_pieces(server: Endpoint, key: bytes, kind: str, detail: Features, in_time: Callable[[], bool]) -> bytes:
    """The digest of a large value, which is read again if the server has told of members twice (it may, in SCANs)."""
    for _ in range(_TRIES):
        total = Sum()
        try:
            async for items in read_pieces(server, key, kind):
                if not in_time():
                    return UNREAD
                total.add(KINDS[kind].comparable(items, detail))
            (count,) = checked(await server.ask_all((COUNTS[kind], key)))
        except KeyChanged:
            return UNREAD
        if kind not in ("set", "hash") or total.count <= count:
            return total.digest()
    return UNREAD
