"""Where XREAD and XREADGROUP name their streams: a group or a consumer may be called STREAMS, too."""

from __future__ import annotations

from collections.abc import Sequence

_VALUES = {b"GROUP": 2, b"BLOCK": 1, b"COUNT": 1, b"CLAIM": 1}
"""How many values an option has."""


def streams_at(args: Sequence[bytes]) -> int:
    """Where the first stream stands; past the end when there is none. @param args: or how they begin."""
    at = 1
    while at < len(args) and args[at].upper() != b"STREAMS":
        at += 1 + _VALUES.get(args[at].upper(), 0)
    return at + 1
