"""Files that are read again when they have changed: certificates, keys and passwords.

They are looked at when what they hold is used, so that nobody has to be told of a change. What can't be used changes
nothing: what was read before stays.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from redisproxy.config.certificates import TLSFault, read_file

T = TypeVar("T")

SETTLED_S = 2.0
"""A file that was changed less than this before it was read may change again within the same tick of its clock."""
_Look = tuple[tuple[int, int, int, int, int], ...]


class FollowedFiles(Generic[T]):
    """What is made of some files.

    @param make: reads the files; raises L{TLSFault} or C{ValueError} when they can't be used.
    @param wall: seconds since 1970, as the times of files.
    @ivar value: what was made of them last.
    @ivar error: why their content of now is not used; empty when it is.
    """

    def __init__(
        self, paths: Sequence[str], make: Callable[[], T], value: T | None = None, wall: Callable[[], float] = time.time
    ) -> None:
        """
        @param value: what was made of them before; they are read at once when it is left out.
        @raise TLSFault, ValueError: they can't be used, and there is nothing from before.
        """
        self._paths = tuple(paths)
        self._make = make
        self._wall = wall
        self.error = ""
        self._settled = False
        self._seen: _Look = ()
        self._content = b""
        if value is None:
            self._note()
            value = make()
        self.value = value

    def current(self) -> T:
        """What the files hold now, or held when they could be used last."""
        if not self._settled or _look(self._paths) != self._seen:
            before = self._content
            self._note()
            if self._content != before:
                self._read()
        return self.value

    def _note(self) -> None:
        """Note what is there before it is read, so that a change meanwhile is seen the next time."""
        self._seen = _look(self._paths)
        newest = max((max(mtime, ctime) for *_, mtime, ctime in self._seen), default=0)
        self._settled = self._wall() - newest / 1e9 > SETTLED_S
        self._content = _digest(self._paths)

    def _read(self) -> None:
        try:
            self.value = self._make()
        except (TLSFault, ValueError) as error:
            self.error = str(error)
        else:
            self.error = ""


def _look(paths: tuple[str, ...]) -> _Look:
    """What tells that a file was changed or replaced, without reading it."""
    return tuple(_stat(path) for path in paths)


def _stat(path: str) -> tuple[int, int, int, int, int]:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return (0, 0, 0, 0, 0)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _digest(paths: tuple[str, ...]) -> bytes:
    total = hashlib.sha256()
    for path in paths:
        try:
            content = read_file(path)
        except ValueError as error:
            content = str(error).encode()
        total.update(hashlib.sha256(content).digest())
    return total.digest()
