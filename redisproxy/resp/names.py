"""The names of commands in a stretch of them whose framing has been checked."""

from __future__ import annotations

from collections.abc import Iterator


def command_names(data: bytes, count: int) -> Iterator[bytes]:
    """The names of `count` commands in upper case, one after the other; C{data} may end within the last one.

    A name that is not there whole is empty. As in the framing, a line ends with CR and any byte after it.
    """
    at = 0
    for _ in range(count):
        end = data.find(b"\r", at)
        arguments, at, name = int(data[at + 1 : end]), end + 2, None
        for _ in range(arguments if count > 1 else 1):
            end = data.find(b"\r", at)
            size = int(data[at + 1 : end])
            if name is None:
                name = data[end + 2 : end + 2 + size].upper() if end + 2 + size <= len(data) else b""
                yield name
            at = end + 2 + size + 2
