"""Finds out whether the Redis server is busy with a script, by a PING on a connection made for it.

A server that runs a script answers others only with C{BUSY}, and only after C{busy-reply-threshold}.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.net.errors import UplinkError, is_busy
from redisproxy.resp import encode_command

PROBE_S = 0.5

BUSY = (
    "it is busy running a script and answers nobody: SCRIPT KILL or FUNCTION KILL (at the proxy, too) ends it; if it"
    " has written already, only its own end or SHUTDOWN NOSAVE at the server does"
)


class BusyProbe:
    """Asks when told that there is reason to.

    @param name: how log lines call the server.
    @param urgent: sends one command on a connection made for it; see L{UrgentCommands.send}.
    @ivar busy: the server runs a script and answers nothing else.
    """

    log = Logger(namespace="redisproxy.uplink")

    def __init__(self, name: str, urgent: Callable[[bytes, int], Deferred[bytes]]) -> None:
        self.busy = False
        self._name = name
        self._urgent = urgent
        self._under_way = False
        self._sent_at = -PROBE_S

    def probe(self, now: float) -> None:
        """Ask, unless that is being done or was done a moment ago."""
        if not self._under_way and now - self._sent_at >= PROBE_S:
            self._under_way, self._sent_at = True, now
            self._urgent(encode_command("PING"), 2).addCallbacks(self._answered, self._not_answered)

    def _answered(self, reply: bytes) -> None:
        self._under_way = False
        before, self.busy = self.busy, is_busy(reply[1:].decode("latin-1"))
        if self.busy != before:
            self.log.warn("{name}: {what}", name=self._name, what=BUSY if self.busy else "the script has ended")

    def _not_answered(self, failure: Failure) -> None:
        failure.trap(UplinkError)
        self._under_way = False
