"""Reads the first arguments of one of several commands, of which only the beginning may have been kept."""

from __future__ import annotations

MOST_ARGUMENTS = 64


def beginning_of(data: bytes, number: int, most: int = MOST_ARGUMENTS) -> list[bytes]:
    """The first arguments, `most` of them, of the command with this number; fewer when C{data} ends before.

    The argument at which it ends is cut. The framing of C{data} has been checked.
    """
    at = 0
    for left in range(number, -1, -1):
        count, at = _header(data, at)
        found: list[bytes] = []
        for _ in range(count):
            if at >= len(data):
                return found if not left else []
            size, at = _header(data, at)
            if not left and len(found) < most:
                found.append(data[at : at + size])
            at += size + 2
            if not left and len(found) == most:
                return found
    return found


def _header(data: bytes, at: int) -> tuple[int, int]:
    """The number in a line, and where the next one begins; 0 and the end where the line is not whole."""
    end = data.find(b"\r", at)
    if end < 0:
        return 0, len(data)
    return int(data[at + 1 : end] or 0), end + 2
