"""Values that the model of a Redis server answers with, and their bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class Error(Exception):
    """An error reply."""


@dataclass(frozen=True)
class Status:
    """A status reply."""

    text: str


OK, QUEUED = Status("OK"), Status("QUEUED")
NULL_ARRAY = object()
NOTHING = object()
"""No reply now: the connection waits."""

Key = tuple[int, bytes]
Effect = list[tuple[int, list[bytes]]]


def encode(value: Any, version: int) -> bytes:
    """A reply in the protocol's bytes."""
    if isinstance(value, Status):
        return b"+%s\r\n" % value.text.encode()
    if isinstance(value, Error):
        return b"-%s\r\n" % str(value).encode()
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, bytes):
        return b"$%d\r\n%s\r\n" % (len(value), value)
    if value is None or value is NULL_ARRAY:
        return b"_\r\n" if version == 3 else b"*-1\r\n" if value is NULL_ARRAY else b"$-1\r\n"
    if isinstance(value, dict):
        flat = [each for pair in value.items() for each in pair]
        head = b"%%%d\r\n" % len(value) if version == 3 else b"*%d\r\n" % len(flat)
        return head + b"".join(encode(each, version) for each in flat)
    return b"*%d\r\n" % len(value) + b"".join(encode(each, version) for each in value)
