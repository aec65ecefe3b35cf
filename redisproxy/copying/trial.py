"""Tries which types of values a new server takes as the old one dumps them.

Writes values of every type under private names at the old server, with a time to live, and removes them afterwards. A
payload of DUMP bears the version of its format, and a server may refuse all of a newer one, or only some types in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from uuid import uuid4

from redisproxy.copying.digest import digests, in_common
from redisproxy.copying.endpoint import PRIVATE, Endpoint
from redisproxy.copying.kinds import KINDS
from redisproxy.copying.samples import FIELD_TTLS, VECTOR_SET, samples
from redisproxy.net.errors import UplinkError
from redisproxy.servers.control_connection import ServerSaidNo

_LEFT_MS = 60_000


class Way(Enum):
    """How values of a type come to the new server: by DUMP and RESTORE, by type, or not (or not whole)."""

    RESTORE = "restore"
    BY_TYPE = "by type"
    NOT = "not"


@dataclass(frozen=True)
class Trial:
    """What came of it.

    @ivar ways: for each kind that the old server has: a type as TYPE tells it, or L{samples.FIELD_TTLS}.
    @ivar reasons: for each kind that can't be restored, why: the server's words.
    @ivar many: the new server takes MSET.
    """

    ways: Mapping[str, Way]
    reasons: Mapping[str, str]
    many: bool = False


async def try_types(source: Endpoint, target: Endpoint) -> Trial:
    """Try every type.

    A RESTORE counts only if the value then has the same digest as at `source`.

    @raise UplinkError: a server did not answer, or can't be written to.
    """
    kinds: dict[bytes, str] = {}
    try:
        async for kind, key in _written(source):
            kinds[key] = kind
        many = await _takes_many(target, list(kinds))
        return _trial(list(kinds.values()), await _results(source, target, list(kinds)), target, many)
    finally:
        for each in (source, target):
            await _remove(each, list(kinds))


async def _written(source: Endpoint) -> AsyncIterator[tuple[str, bytes]]:
    """Write the values; the kind and the key of each. Vector sets are left out where the server does not know them."""
    prefix = PRIVATE + b"trial:" + uuid4().hex.encode() + b":"
    for kind, key, commands in samples(prefix, source.features):
        replies = await source.ask_all(*commands, ("PEXPIRE", key, _LEFT_MS))
        refusals = [reply for reply in replies if isinstance(reply, ServerSaidNo)]
        if refusals and kind != VECTOR_SET:
            raise refusals[0]
        if not refusals:
            yield kind, key


async def _results(source: Endpoint, target: Endpoint, keys: list[bytes]) -> list[str]:
    """What came of each: empty if the value is there, else why not."""
    payloads = await source.ask_all(*(("DUMP", key) for key in keys))
    refused = [str(payload) if isinstance(payload, ServerSaidNo) else "" for payload in payloads]
    asked = [at for at, why in enumerate(refused) if not why]
    restored = await target.ask_all(*(("RESTORE", keys[at], _LEFT_MS, payloads[at]) for at in asked))
    for at, reply in zip(asked, restored, strict=True):
        refused[at] = str(reply) if isinstance(reply, ServerSaidNo) else ""
    detail = in_common(source.features, target.features)
    here, there = await digests(source, keys, detail), await digests(target, keys, detail)
    return [
        why or ("" if was.kind == now.kind and was.value == now.value else "the value is not the same")
        for why, was, now in zip(refused, here, there, strict=True)
    ]


async def _takes_many(target: Endpoint, keys: list[bytes]) -> bool:
    """Whether MSET may be run there.

    @raise ServerSaidNo: UNLINK may not, so that what is deleted meanwhile would stay.
    """
    taken, removed = await target.ask_all(("MSET", keys[0], "a", keys[1], "b"), ("UNLINK", *keys[:2]))
    if isinstance(removed, ServerSaidNo):
        raise removed
    return not isinstance(taken, ServerSaidNo)


def _trial(kinds: list[str], results: list[str], target: Endpoint, many: bool) -> Trial:
    reasons: dict[str, str] = {}
    for kind, why in zip(kinds, results, strict=True):
        if why:
            reasons.setdefault(kind, why)
    return Trial({kind: _way(kind, kind in reasons, target) for kind in kinds}, reasons, many)


def _way(kind: str, refused: bool, target: Endpoint) -> Way:
    if not refused:
        return Way.RESTORE
    by_type = target.features.field_expiry if kind == FIELD_TTLS else kind in KINDS
    return Way.BY_TYPE if by_type else Way.NOT


async def _remove(server: Endpoint, keys: list[bytes]) -> None:
    if keys:
        with suppress(UplinkError):
            await server.ask_all(("UNLINK", *keys))
