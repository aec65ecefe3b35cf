"""Reads keys: small ones whole and many at once, large ones in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from redisproxy.copying.endpoint import Endpoint
from redisproxy.copying.hash_fields import with_expiry
from redisproxy.copying.items import Item
from redisproxy.copying.kinds import KINDS, WHOLE_KINDS
from redisproxy.copying.looks import Look
from redisproxy.copying.replies import KeyChanged, checked

SMALL_BYTES = 64 * 1024
"""Up to this size a value is read whole."""
BATCH_BYTES = 4 << 20
"""How much is read at once of many small keys, roughly."""


def is_small(look: Look) -> bool:
    """Whether a key is read whole."""
    return look.size <= SMALL_BYTES and look.kind in WHOLE_KINDS


def batches(looks: Sequence[tuple[bytes, Look]]) -> Iterator[list[tuple[bytes, Look]]]:
    """Small keys in batches that are read at once."""
    batch: list[tuple[bytes, Look]] = []
    size = 0
    for key, look in looks:
        if batch and size + look.size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append((key, look))
        size += look.size
    if batch:
        yield batch


async def read_small(server: Endpoint, keys: Sequence[tuple[bytes, Look]]) -> list[list[Item] | None]:
    """The values of small keys; None for what has changed its type, or vanished.

    @raise UplinkError: the server did not answer.
    """
    replies = await server.ask_all(*(WHOLE_KINDS[look.kind].whole(key) for key, look in keys))
    values = [_value(reply, look) for reply, (_, look) in zip(replies, keys, strict=True)]
    hashes = [at for at, (_, look) in enumerate(keys) if look.kind == "hash"]
    timed = await with_expiry(server, [(keys[at][0], values[at] or []) for at in hashes])
    for at, value in zip(hashes, timed, strict=True):
        values[at] = value or None
    return values


def _value(reply: object, look: Look) -> list[Item] | None:
    try:
        (whole,) = checked([reply])
    except KeyChanged:
        return None
    return (WHOLE_KINDS[look.kind].items(whole) or None) if whole is not None else None


async def read_pieces(server: Endpoint, key: bytes, kind: str) -> AsyncIterator[list[Item]]:
    """A value in pieces.

    @raise KeyChanged: it changed its type or vanished.
    @raise UplinkError: the server did not answer.
    """
    empty = True
    async for items in KINDS[kind].pieces(server, key):
        empty = False
        yield items
    if empty:
        raise KeyChanged
