"""Framing as Redis does it (networking.c, processMultibulkBuffer): slow, simple, and written apart from the proxy's."""

from __future__ import annotations

from collections.abc import Iterator


class Broken(Exception):
    """Redis would close the connection."""


def requests(
    data: bytes, max_args: int = (1 << 31) - 1, max_bulk: int = 1 << 29
) -> Iterator[tuple[bytes, list[bytes]]]:
    """The bytes and arguments of every complete command, as far as the first inline one; empty ones are skipped.

    @raise Broken: after the commands that come before the error.
    """
    at = 0
    while at < len(data) and data[at] == 42:
        found = _command(data, at, max_args, max_bulk)
        if found is None:
            return
        args, end = found
        if args:
            yield data[at:end], args
        at = end


def _command(data: bytes, at: int, max_args: int, max_bulk: int) -> tuple[list[bytes], int] | None:
    line = _line(data, at)
    if line is None:
        return None
    count, at = _number(line[0]), line[1]
    if count > max_args:
        raise Broken
    args: list[bytes] = []
    while len(args) < count:
        line = _line(data, at)
        if at < len(data) and data[at] != 36:
            raise Broken
        if line is None:
            return None
        size, at = _number(line[0]), line[1]
        if not 0 <= size <= max_bulk:
            raise Broken
        if at + size + 2 > len(data):
            return None
        args.append(data[at : at + size])
        at += size + 2
    return args, at


def _line(data: bytes, at: int) -> tuple[bytes, int] | None:
    """Read up to a CR; the byte after it is skipped, whatever it is."""
    end = data.find(b"\r", at)
    return None if end < 0 or end + 2 > len(data) else (data[at + 1 : end], end + 2)


def _number(text: bytes) -> int:
    """Read a number as Redis's string2ll does."""
    digits = text.removeprefix(b"-")
    canonical = digits and all(48 <= byte <= 57 for byte in digits) and len(digits) < 19
    if not canonical or b"%d" % int(text) != text:
        raise Broken
    return int(text)
