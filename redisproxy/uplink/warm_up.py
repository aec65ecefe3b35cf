"""Connections that are opened before clients need them: at the start, after a loss, and before a switch."""

from __future__ import annotations

from twisted.internet.defer import Deferred, TimeoutError

from redisproxy.forwarding.interfaces import Key
from redisproxy.net.deferreds import all_settled
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.uplink.connection import UplinkConnection
from redisproxy.uplink.login import hello_fields
from redisproxy.uplink.own_commands import PLAIN, OwnCommands
from redisproxy.uplink.pool import ConnectionPool

AHEAD_AT_ONCE = 8


class WarmUp:
    """Prepares one pool, and what is known of its server."""

    def __init__(self, pool: ConnectionPool, own_commands: OwnCommands) -> None:
        self._pool = pool
        self._own_commands = own_commands

    def connect(self) -> None:
        """See to it that there is a connection, or that one is being tried, before somebody needs it."""
        if not self._pool.requests and not self._pool.opener:
            self._pool.acquire_shared(PLAIN).addErrback(lambda _: None)

    def connect_now(self, key: Key) -> Deferred[UplinkConnection]:
        """Fire with the shared connection for `key`; the first failure to connect is the answer."""
        self._pool.fail_fast = True
        return self._pool.acquire_shared(key)

    async def open_pinned(self, keys: list[Key]) -> None:
        """Have pinned connections at hand before their clients come, one for each of `keys`, or as many as can be had.

        A few at a time, so that clients at work hardly notice.
        """
        pinned = self._pool.pinned
        ahead: list[UplinkConnection] = []
        keys = keys[: pinned.room]
        for at in range(0, len(keys), AHEAD_AT_ONCE):
            wanted = [self._pool.acquire(key, pinned=True) for key in keys[at : at + AHEAD_AT_ONCE]]
            results = await all_settled(wanted)
            ahead.extend(connection for good, connection in results if good)
            if not all(good for good, _ in results):
                break
        for connection in (each for each in ahead if each.alive):
            pinned.keep(connection, self._pool.context.clock.seconds())

    async def learn_role(self) -> None:
        """Learn of a promotion since the connections were made.

        @raise UplinkUnavailable: there is no answer.
        """
        server = self._pool.opener.server
        if server and server.get(b"role") != b"master":
            await self.ask_role()

    async def ask_role(self) -> None:
        """Have the server tell of itself anew, its role above all.

        @raise UplinkUnavailable: there is no answer.
        """
        context, opener = self._pool.context, self._pool.opener
        try:
            answer = await self._own_commands.ask("HELLO").addTimeout(context.limits.connect_timeout_s, context.clock)
        except TimeoutError:
            raise UplinkUnavailable("the server does not answer") from None
        opener.server = hello_fields(answer) or opener.server
