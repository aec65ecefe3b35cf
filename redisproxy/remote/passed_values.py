"""Values that are passed on as files without a name: all of one is with the other side when its descriptor is.

So it arrives whole though the process that has sent it is killed right afterwards, however large it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from redisproxy.remote.large import MAX_BYTES, ProtocolBroken

T = TypeVar("T")


def file_with(value: bytes) -> int:
    """A descriptor of a file with this value, to be closed by the caller once the other side has answered.

    @raise OSError: there is no descriptor, or no memory.
    """
    descriptor = os.memfd_create("redisproxy")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(value)
    return descriptor


def closing(descriptor: int) -> Callable[[T], T]:
    """A callback that closes it."""

    def close(result: T) -> T:
        os.close(descriptor)
        return result

    return close


def taken(descriptor: int) -> bytes:
    """The value in the file of this descriptor, which is closed.

    @raise ProtocolBroken: it is none, or too large.
    """
    with open(descriptor, "rb", buffering=0) as file:
        size = os.fstat(descriptor).st_size
        value = os.pread(file.fileno(), min(size, MAX_BYTES), 0)
        if len(value) != size:
            raise ProtocolBroken("a file that is too large, or none")
    return value
