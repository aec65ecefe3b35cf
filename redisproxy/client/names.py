"""What may be the name of a connection or of a client library. Pure."""

from __future__ import annotations


def valid_name(name: bytes) -> bool:
    """Whether Redis takes `name` for a connection's name or a library's: printable ASCII without spaces."""
    return all(33 <= byte <= 126 for byte in name)


MAX_BYTES = 1024
"""Every client's is kept, and is in every CLIENT LIST; Redis has no such bound."""


def may_be_kept(name: bytes) -> bool:
    """Whether it is valid and not too long."""
    return len(name) <= MAX_BYTES and valid_name(name)
