"""HyperLogLogs, which are strings: what PFCOUNT writes into them is no part of their value. Pure.

Format: https://github.com/redis/redis/blob/7.0/src/hyperloglog.c. A header of 16 bytes: HYLL, the encoding, three of no
use, and eight for the last count, which PFCOUNT stores, and everybody else only declares out of date.
"""

from __future__ import annotations

_MAGIC = b"HYLL"
_DENSE, _SPARSE = 0, 1
_COUNT, _HEADER_BYTES = 8, 16
_DENSE_BYTES = _HEADER_BYTES + 16384 * 6 // 8


def without_count(value: bytes) -> bytes:
    """The value of a string without the last count, if it is a HyperLogLog; else as it is."""
    if not value.startswith(_MAGIC) or len(value) < _HEADER_BYTES:
        return value
    encoding = value[len(_MAGIC)]
    if encoding == _SPARSE or (encoding == _DENSE and len(value) == _DENSE_BYTES):
        return value[:_COUNT] + bytes(_HEADER_BYTES - _COUNT) + value[_HEADER_BYTES:]
    return value
