"""The commands that took long: whose, which, and how long in the proxy and at the server. Never their values.

The queue tells of them when their replies are there. Bounded in entries, in what is kept of each, and in how many are
noted a second: when a server stands still, all that waits for it is slow at the same moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redisproxy.figures.families import FAMILIES
from redisproxy.figures.keys import key_of
from redisproxy.resp.command_beginning import beginning_of

if TYPE_CHECKING:
    from redisproxy.forwarding.twins import Entry, Flow

MOST_A_SECOND = 100
NAME_CHARACTERS = 32
KEY_BYTES = 128
MS = 1e6


@dataclass(frozen=True)
class SlowCommand:
    """One command.

    @ivar id: grows in each process. @ivar time: when its reply was there, in seconds since 1970.
    @ivar user: empty when the client did not have to log in. @ivar command: see L{name_of}.
    @ivar key: its first one, cut; empty for none.
    @ivar proxy_ms: from its arrival until it left. @ivar redis_ms: from then until its reply was there.
    """

    id: int
    time: float
    client_id: int
    addr: str
    user: str
    command: str
    key: str
    proxy_ms: float
    redis_ms: float


class SlowLog:
    """The last slow commands of one data plane.

    @param flow: where the queue is told what is slow. @param seconds: the time, in seconds since 1970.
    """

    def __init__(self, flow: Flow, seconds: Callable[[], float]) -> None:
        self._flow = flow
        self._seconds = seconds
        self._entries: deque[SlowCommand] = deque(maxlen=1)
        self._keys = True
        self._last_id = 0
        self._second = self._in_second = 0
        flow.on_slow = self.note

    def apply(self, threshold_ms: int, max_entries: int, keys: bool) -> None:
        """Note what takes at least so long, if that is not 0; with `keys` their keys, too."""
        self._flow.slow_ns = threshold_ms * 1_000_000
        self._entries = deque(self._entries, maxlen=max_entries)
        self._keys = keys

    def entries(self) -> tuple[SlowCommand, ...]:
        """All that are kept, the newest first."""
        return tuple(reversed(self._entries))

    def note(self, entry: Entry, client_ns: int, uplink_ns: int) -> None:
        """The queue's: the reply to the next command of `entry` is there.

        @param client_ns: since it had arrived. @param uplink_ns: since it was sent.
        """
        now = self._seconds()
        if int(now) != self._second:
            self._second, self._in_second = int(now), 0
        self._in_second += 1
        if self._in_second > MOST_A_SECOND:
            return
        client: Any = getattr(entry.sink, "client", entry.sink)
        args, name = next_of(entry)
        key = shown(key_of(args)[:KEY_BYTES]) if self._keys else ""
        proxy_ms, redis_ms = round((client_ns - uplink_ns) / MS, 3), round(uplink_ns / MS, 3)
        self._last_id += 1
        user = shown(client.session.user or b"")
        who = client.id, "" if client.closed else client.address, user
        self._entries.append(SlowCommand(self._last_id, round(now, 3), *who, name, key, proxy_ms, redis_ms))


def next_of(entry: Entry) -> tuple[list[bytes], str]:
    """The first arguments of the command whose reply comes next, as far as they are kept, and its L{name_of}."""
    args = beginning_of(entry.head, max(0, min(entry.count - entry.want, entry.count - 1)))
    return args, name_of(args, entry.family if entry.families is None else entry.families[-entry.want])


def name_of(args: list[bytes], family: int) -> str:
    """The name of a command as it is shown. If it is not known, or empty: its family, in parentheses."""
    return shown(args[0].upper())[:NAME_CHARACTERS] if args and args[0] else f"({FAMILIES[family]})"


def shown(data: bytes) -> str:
    """Bytes of a client as text in which nothing is but what can be printed."""
    text = data.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
