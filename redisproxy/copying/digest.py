"""Digests of keys, the same for equal values on servers of different versions.

Neither the order of a set's or a hash's members nor how a server stores them has any influence. Large values are read
in pieces. Not in it: how long ago pending entries of streams were delivered, and when consumers were last seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redisproxy.copying.endpoint import Endpoint, Features


@dataclass(frozen=True)
class Digest:
    """What a key is like.

    @ivar kind: its type as TYPE tells it; C{none} if there is no such key.
    @ivar value: the digest of its value; empty if it is not known (the key changed while it was read, or is of a type
        whose values can't be read).
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


async def digests(server: Endpoint, keys: Sequence[bytes], detail: Features) -> list[Digest]:
    """The digests of keys in the database that is selected.

    @param detail: what counts: times to live of fields (C{field_expiry}), counters of streams (C{stream_counts}).
    @raise UplinkError: the server did not answer.
    """
    raise NotImplementedError
