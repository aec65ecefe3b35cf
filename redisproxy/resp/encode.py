"""Encoders for the commands that the proxy sends itself and for the replies that it gives itself."""

from __future__ import annotations


def encode_command(*args: bytes | str | int) -> bytes:
    """A command as the proxy sends it."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:  # copies and comparisons encode millions
        value = arg if isinstance(arg, bytes) else str(arg).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(value), value))
    return b"".join(parts)


def encode_each(before: bytes, values: list[bytes], after: bytes) -> bytes:
    """Each of these values as a bulk string, between the same bytes: commands that differ in one argument."""
    return b"".join([b"%b$%d\r\n%b\r\n%b" % (before, len(value), value, after) for value in values])


def _line_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape").replace(b"\r", b" ").replace(b"\n", b" ")


def error(text: str) -> bytes:
    """An error reply; line breaks in `text` become spaces."""
    return b"-" + _line_of(text) + b"\r\n"


def simple(text: str) -> bytes:
    """A simple string."""
    return b"+" + _line_of(text) + b"\r\n"


def integer(value: int) -> bytes:
    """An integer."""
    return b":%d\r\n" % value


def bulk(value: bytes) -> bytes:
    """A bulk string."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def verbatim(value: bytes, version: int) -> bytes:
    """Text as RESP3's verbatim string, in RESP2 a bulk string."""
    return b"=%d\r\ntxt:%b\r\n" % (len(value) + 4, value) if version == 3 else bulk(value)


def array_header(count: int) -> bytes:
    """The beginning of an array."""
    return b"*%d\r\n" % count


def push_header(count: int, version: int) -> bytes:
    """The header of a push of `count` elements; in RESP2 an array."""
    return (b">%d\r\n" if version == 3 else b"*%d\r\n") % count


def map_header(count: int, version: int) -> bytes:
    """The beginning of a map with `count` pairs; in RESP2 a flat array."""
    return b"%%%d\r\n" % count if version == 3 else array_header(2 * count)


def set_header(count: int, version: int) -> bytes:
    """The beginning of a set; in RESP2 an array."""
    return b"~%d\r\n" % count if version == 3 else array_header(count)


def null(version: int) -> bytes:
    """The null of a string."""
    return b"_\r\n" if version == 3 else b"$-1\r\n"


def null_array(version: int) -> bytes:
    """The null of an array."""
    return b"_\r\n" if version == 3 else b"*-1\r\n"
