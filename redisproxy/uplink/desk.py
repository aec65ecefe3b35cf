"""Hands connections to one Redis server to who waits for them: a shared one to many, a spare one to one at a time."""

from __future__ import annotations

from collections.abc import Callable

from twisted.python.failure import Failure

from redisproxy.forwarding.collector import Collector
from redisproxy.net.errors import DatabaseRefused, ServerBusy, UplinkUnavailable, is_busy
from redisproxy.resp import RespError, encode_command
from redisproxy.uplink.connection import UplinkConnection
from redisproxy.uplink.waitlist import Key, Waitlist, Want

MOST_SPARE = 64
SPARE_S = 60.0


class Desk:
    """Who waits, and what there is to hand out. It opens nothing.

    @param again: called when something has come of nothing, and L{serve} is worth another try.
    @ivar shared: the shared connections, by what they are set to. @ivar spare: pinned ones that nobody holds.
    """

    def __init__(self, waiting: Waitlist, again: Callable[[], None]) -> None:
        self.waiting = waiting
        self.shared: dict[Key, UplinkConnection] = {}
        self.spare: list[UplinkConnection] = []
        self._again = again

    def serve(self) -> None:
        """Hand out what there is."""
        for key in self.waiting.shared_keys():
            self._serve_shared(key)
        while self.spare:
            want = self.waiting.first_pinned()
            if want is None:
                break
            self._serve_pinned(want)

    def _serve_shared(self, key: Key) -> None:
        for want in self.waiting.all_shared(key):
            connection = self.shared.get(key)
            if connection is not None and self.waiting.take(want):
                want.answer.callback(connection)

    def _serve_pinned(self, want: Want) -> None:
        connection = self._take_spare(want.key)
        if not connection.alive:
            return
        if (connection.db, connection.resp_version) != want.key:
            self.waiting.set_aside(want)
            self._adjust(connection, want)
        elif self.waiting.take(want):
            want.answer.callback(connection)

    def _take_spare(self, key: Key) -> UplinkConnection:
        for position, connection in enumerate(self.spare):
            if (connection.db, connection.resp_version) == key:
                return self.spare.pop(position)
        return self.spare.pop()

    def _adjust(self, connection: UplinkConnection, want: Want) -> None:
        db, version = want.key
        commands = [("SELECT", str(db))]
        if version != connection.resp_version:
            commands.insert(0, ("HELLO", str(version)))
        data = b"".join(encode_command(*command) for command in commands)

        def answered(replies: list[object] | None) -> None:
            self._adjusted(connection, want, replies)

        connection.submit_own(Collector(len(commands), answered), data, len(commands))

    def _adjusted(self, connection: UplinkConnection, want: Want, replies: list[object] | None) -> None:
        if replies is None:
            self.waiting.put_back(want)
            self._again()
        elif not self.waiting.take(want):
            connection.abort()
        elif isinstance(replies[-1], RespError):
            connection.abort()
            kind = ServerBusy if is_busy(replies[-1].text) else DatabaseRefused
            want.answer.errback(Failure(kind(replies[-1].text)))
        elif isinstance(replies[0], RespError):
            connection.abort()
            want.answer.errback(Failure(UplinkUnavailable(replies[0].text)))
        else:
            connection.db, connection.resp_version = want.key
            want.answer.callback(connection)

    def keep(self, connection: UplinkConnection, now: float) -> None:
        """Keep a pinned connection that nobody holds, for the next one who wants such."""
        connection.last_used = now
        self.spare.append(connection)

    def close_unused(self, now: float) -> None:
        """Close what has been spare for too long."""
        for connection in [each for each in self.spare if now - each.last_used > SPARE_S]:
            self.spare.remove(connection)
            connection.close()

    def unshare(self, connection: UplinkConnection) -> None:
        """Hand a shared connection out no more."""
        for key, shared in list(self.shared.items()):
            if shared is connection:
                del self.shared[key]

    def lost(self, connection: UplinkConnection) -> None:
        """A connection is gone."""
        self.unshare(connection)
        if connection in self.spare:
            self.spare.remove(connection)
