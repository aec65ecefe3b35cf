"""The new server's side of copying: sends commands in many at once, bounded, and looks at the answers."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from redisproxy.copying.interface import CopyFailed
from redisproxy.forwarding.twins import parse_replies
from redisproxy.resp import RespError

if TYPE_CHECKING:
    from redisproxy.copying.bulk_connection import BulkConnection

MAX_BYTES = 4 * 1024 * 1024
"""What may be on its way at one time."""
_FATAL = ("OOM", "READONLY", "NOREPLICAS", "NOPERM", "MISCONF", "MASTERDOWN", "LOADING", "NOAUTH")
"""Errors that are no fault of the value; the next one would fail as well."""


class Writer:
    """Writes to the new server, in the order of the calls.

    @ivar sent_bytes: since the beginning.
    """

    def __init__(self, new: BulkConnection) -> None:
        self.sent_bytes = 0
        self._new = new
        self._under_way: deque[tuple[bytes, int, Deferred[bytes]]] = deque()
        self._bytes = 0
        self._not_restored: list[bytes] = []

    @property
    def has_refused(self) -> bool:
        """Whether there are values that the new server has refused."""
        return bool(self._not_restored)

    async def restore(self, wire: bytes, count: int) -> None:
        """Send `count` commands that write keys, such as RESTORE; returns when more may be sent.

        @raise CopyFailed: the new server takes no more. @raise UplinkError: it does not answer.
        """
        if not count:
            return
        self._under_way.append((wire, count, self._new.exchange(wire, count)))
        self._bytes += len(wire)
        self.sent_bytes += len(wire)
        while self._bytes > MAX_BYTES:
            await self._oldest()

    async def settled(self) -> list[bytes]:
        """Wait until all is written; the keys whose values were refused since the last time.

        @raise CopyFailed: the new server takes no more. @raise UplinkError: it does not answer.
        """
        while self._under_way:
            await self._oldest()
        refused, self._not_restored = self._not_restored, []
        return refused

    async def _oldest(self) -> None:
        wire, _, replies = self._under_way.popleft()
        self._bytes -= len(wire)
        answer = await replies
        if b"-" in answer:  # they answer OK or how many there are
            self._look_at(wire, answer)

    def _look_at(self, wire: bytes, answer: bytes) -> None:
        for command, reply in zip(parse_replies(wire), parse_replies(answer), strict=True):
            if isinstance(reply, RespError) and isinstance(command, list):
                if reply.text.startswith(_FATAL):
                    raise CopyFailed(f"{self._new.name} takes no keys: {reply.text}")
                self._not_restored += command[1::2] if command[0] == b"MSET" else command[1:2]

    def abandon(self) -> None:
        """Nobody waits for what is under way."""
        for _, _, replies in self._under_way:
            replies.addErrback(lambda _: None)
        self._under_way.clear()
