"""Reads the first arguments of one of several commands, of which only the beginning may have been kept."""

from __future__ import annotations

MOST_ARGUMENTS = 64


def beginning_of(data: bytes, number: int, most: int = MOST_ARGUMENTS) -> list[bytes]:
    """The first arguments, `most` of them, of the command with this number; fewer when C{data} ends before.

    The argument at which it ends is cut, but not the name of the command: that is whole, or missing. The framing of
    C{data} has been checked.
    """
    count, at = _header(data, start_of(data, number))
    found: list[bytes] = []
    for _ in range(min(count, most)):
        if at >= len(data):
            break
        size, at = _header(data, at)
        if not found and at + size > len(data):
            break
        found.append(data[at : at + size])
        at += size + 2
    return found


def start_of(data: bytes, number: int) -> int:
    """Where the command with this number begins; the end of C{data}, or what is behind it, if that is not in it."""
    at = 0
    for _ in range(number):
        count, at = _header(data, at)
        for _ in range(count):
            if at >= len(data):
                return at
            size, at = _header(data, at)
            at += size + 2
    return at


def _header(data: bytes, at: int) -> tuple[int, int]:
    """The number in a line, and where the next one begins; 0 and the end where the line is not whole."""
    end = data.find(b"\r", at)
    if end < 0:
        return 0, len(data)
    return int(data[at + 1 : end] or 0), end + 2
