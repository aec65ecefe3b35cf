"""Sees to it that nobody waits long behind another client's command, and knows when the server is busy with a script.

Ten times a second it looks how long what was sent has waited. Where that is long, a new connection shows whether the
server answers others; then it takes the place of the old one, where what was sent is still answered. A server that runs
a script answers others only with C{BUSY}, and only after C{busy-reply-threshold}.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.net.errors import UplinkError, is_busy
from redisproxy.resp import encode_command
from redisproxy.uplink.connection import UplinkConnection, client_of
from redisproxy.uplink.roster import Roster
from redisproxy.uplink.waitlist import Key

LAG_S = 0.1
"""So long something may wait for its reply on a shared connection before others are sent elsewhere."""
AGAIN_S = 1.0
"""A shared connection is replaced no more often than this."""
PROBE_S = 0.5
MANY = 32
"""Who waits for more replies than this holds others up, when a connection lags."""


class Owner(Protocol):
    """Whose connections these are."""

    name: str
    roster: Roster

    @property
    def shared_connections(self) -> Mapping[Key, UplinkConnection]:
        """The shared connections by what they are set to."""

    def replace(self, key: Key) -> None:
        """Open another shared connection beside the one for `key`; it takes its place if that is slow still."""

    def urgent(self, data: bytes, resp_version: int) -> Deferred[bytes]:
        """Send one command on a connection made for it."""


class Relief:
    """Looks after the connections of one set.

    @ivar busy: the server runs a script and answers nothing else.
    """

    log = Logger(namespace="redisproxy.uplink")

    def __init__(self, owner: Owner) -> None:
        self.busy = False
        self._owner = owner
        self._replaced_at: dict[Key, float] = {}
        self._probing = False
        self._probed_at = -PROBE_S

    def look(self, now: float, dedicate: Callable[[object], None]) -> None:
        """Find what lags.

        @param dedicate: called with each client that holds others up.
        """
        lagging = [each for each in self._owner.roster if each.lag(now) >= LAG_S]
        if (lagging or self.busy) and not self._probing and now - self._probed_at >= PROBE_S:
            self._probe(now)
        for key, connection in list(self._owner.shared_connections.items()):
            if connection in lagging and now - self._replaced_at.get(key, -AGAIN_S) >= AGAIN_S:
                self._replaced_at[key] = now
                self._owner.replace(key)
                for client in _holding_up(connection):
                    dedicate(client)

    def _probe(self, now: float) -> None:
        self._probing, self._probed_at = True, now
        self._owner.urgent(encode_command("PING"), 2).addCallbacks(self._answered, self._not_answered)

    def _answered(self, reply: bytes) -> None:
        self._probing = False
        before, self.busy = self.busy, is_busy(reply[1:].decode("latin-1"))
        if self.busy != before:
            self.log.warn("{name}: {what}", name=self._owner.name, what=BUSY if self.busy else "the script has ended")

    def _not_answered(self, failure: Failure) -> None:
        failure.trap(UplinkError)
        self._probing = False


BUSY = (
    "it is busy running a script and answers nobody: SCRIPT KILL or FUNCTION KILL (at the proxy, too) ends it; if it"
    " has written already, only its own end or SHUTDOWN NOSAVE at the server does"
)


def _holding_up(connection: UplinkConnection) -> dict[object, None]:
    """The clients for whom others wait: whose command is the first, and who waits for many replies."""
    entries = [entry for entry in connection.queue.entries() if entry.counted]
    wanted: dict[object, int] = {}
    for entry in entries:
        client = client_of(entry.sink)
        wanted[client] = wanted.get(client, 0) + entry.want
    first = {client_of(entries[0].sink): None} if entries else {}
    return first | {client: None for client, want in wanted.items() if want > MANY}
