"""What differs between two servers, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from redisproxy.copying.digest import UNREAD, Digest
from redisproxy.copying.keyspace import KeyCount

STALE_SHARE = 4
"""Servers remove keys that have expired so eagerly that less than a quarter of those with a time to live are such."""
STALE_KEYS = 100
"""Or less than so many: of a few keys most may have expired."""
FEW_KEYS = 2000
"""In a database with no more the names tell more than the numbers."""


@dataclass(frozen=True)
class Difference:
    """One difference.

    @ivar db: the database; 0 for functions.
    @ivar key: the key's name; None if the numbers of keys differ, or the functions.
    @ivar kind: its type at the source, or at the target if it is only there; empty without a key.
    @ivar why: what differs, in words: C{missing}, C{extra}, C{type: set, not hash}, C{TTL: 12 ms longer}, C{value}.
    """

    db: int
    key: bytes | None
    kind: str
    why: str


def why_different(source: Digest, target: Digest) -> str:
    """What the target has otherwise, in words; empty if nothing."""
    if source.kind == target.kind:
        reasons = (_expiry(source.expires_ms, target.expires_ms), _value(source, target))
        return ", ".join(filter(None, reasons))
    if source.kind == "none":
        return "extra"
    return "missing" if target.kind == "none" else f"type: {target.kind}, not {source.kind}"


def is_unread(source: Digest, target: Digest) -> bool:
    """Whether nothing is known of the values."""
    return source.kind == target.kind != "none" and UNREAD in (source.value, target.value)


def _value(source: Digest, target: Digest) -> str:
    return "" if is_unread(source, target) or source.value == target.value else "value"


def _expiry(source: tuple[int, int] | None, target: tuple[int, int] | None) -> str:
    if source is None or target is None:
        return "" if source == target else "TTL: none" if target is None else "TTL: has one"
    if target[0] > source[1]:
        return f"TTL: {target[0] - source[1]} ms longer"
    return f"TTL: {source[0] - target[1]} ms shorter" if target[1] < source[0] else ""


def why_counts_differ(source: KeyCount, target: KeyCount) -> str:
    """What the target has otherwise, in words; empty if nothing.

    The numbers of keys with a time to live need not be the same: those that have expired count until they are removed.
    So do hashes all of whose fields have.
    Those of few keys tell nothing: see L{names_tell}.
    """
    there, here = target.keys - target.expiring, source.keys - source.expiring
    timed = max(target.timed, source.timed)
    if there != here and not (timed and _few(source, target)) and abs(there - here) > min(timed, _stale(timed)):
        return f"keys without a time to live: {there}, not {here}"
    stale = _stale(max(target.expiring, source.expiring))
    if not _few(source, target) and abs(target.expiring - source.expiring) > stale:
        return f"keys with a time to live: {target.expiring}, not {source.expiring}"
    return ""


def names_tell(source: KeyCount, target: KeyCount) -> bool:
    """Whether the names of the keys have to tell if one is missing, because their numbers can't, and are few enough."""
    return (source.keys, source.expiring) != (target.keys, target.expiring) and _few(source, target)


def _few(source: KeyCount, target: KeyCount) -> bool:
    return max(source.keys, target.keys) <= FEW_KEYS


def _stale(expiring: int) -> int:
    """How many of so many keys may have expired and be counted."""
    return max(expiring // STALE_SHARE, STALE_KEYS)
