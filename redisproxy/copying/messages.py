"""Messages in which a server tells what has changed: invalidations of CLIENT TRACKING, or keyspace notifications. Pure.

A busy server sends a notification for each command, most of them about the same keys, so many are looked at together.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from redisproxy.copying.changes import Changes

PATTERN = b"__keyevent@*__:*"
_PREFIX = b">4\r\n$8\r\npmessage\r\n$%d\r\n%s\r\n" % (len(PATTERN), PATTERN)
_REST = re.compile(rb"\$(\d+)\r\n([^\r]*)\r\n\$(\d+)\r\n(.*)\r\n", re.DOTALL)
_NO_CHANGE = b":keymiss"


class Messages(Protocol):
    """Takes names out of messages."""

    def take(self, changes: Changes, message: list[Any]) -> bool:
        """Take in one that is whole; False if it is a reply."""

    def take_many(self, changes: Changes, data: bytes, at: int) -> int:
        """Take in the messages at the beginning of C{data[at:]}; where that ends. It need not do anything."""


class Invalidations:
    """Implements L{Messages}. They come together already, and nothing that is asked is answered with a list."""

    def take(self, changes: Changes, message: list[Any]) -> bool:
        match message:
            case [b"invalidate", None]:
                changes.flushed = True
            case [b"invalidate", list(names)]:
                changes.add([name for name in names if isinstance(name, bytes)])
        return True

    def take_many(self, changes: Changes, data: bytes, at: int) -> int:
        return at


class Notifications:
    """Implements L{Messages}."""

    def take(self, changes: Changes, message: list[Any]) -> bool:
        match message:
            case [b"pmessage", bytes(), bytes(channel), bytes(name)]:
                if not channel.endswith(_NO_CHANGE):
                    changes.add([name])
                return True
        return False

    def take_many(self, changes: Changes, data: bytes, at: int) -> int:
        """All but the last one, which may not be whole; none if there is anything else among them."""
        last = data.rfind(_PREFIX, at)
        if last <= at or not data.startswith(_PREFIX, at):
            return at
        events = [_REST.fullmatch(rest) for rest in set(data[at + len(_PREFIX) : last].split(_PREFIX))]
        names: list[bytes] = []
        for event in events:
            # A name may hold anything, even what looks like the beginning of a message.
            if event is None or int(event[1]) != len(event[2]) or int(event[3]) != len(event[4]):
                return at
            if not event[2].endswith(_NO_CHANGE):
                names.append(event[4])
        changes.add(names)
        return last
