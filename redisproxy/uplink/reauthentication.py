"""AUTH on connections that are open when the password has changed: a token may be of no use there for much longer.

It goes out between other commands, in the order of the connection. Inside of a MULTI the server would queue it, and
EXEC answer it, so what holds such a connection is waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.forwarding.collector import Collector
from redisproxy.net.errors import UplinkError
from redisproxy.resp import RespError, encode_command

if TYPE_CHECKING:
    from redisproxy.uplink.connection import UplinkConnection
    from redisproxy.uplink.context import UplinkContext
    from redisproxy.uplink.login import Credentials, CredentialSource
    from redisproxy.uplink.registry import ConnectionRegistry

AFTER_REFUSAL_S = 30.0
"""The server does not take the new password yet: that long the others are not asked, and none again."""


class Reauthentication:
    """Looks once a second."""

    log = Logger(namespace="redisproxy.uplink")

    def __init__(self, registry: ConnectionRegistry, source: CredentialSource, context: UplinkContext) -> None:
        self._registry = registry
        self._source = source
        self._context = context
        self._asking: Deferred[Credentials] | None = None
        self._not_before = 0.0
        self._failures = 0

    def tick(self, now: float) -> None:
        """Ask for a new password in time, and give it to the server where it takes AUTH at this moment."""
        if self._source.due and self._asking is None:
            self._asking = self._source.ask()
            self._asking.addErrback(_not_had).addCallback(self._had)
        self._count()
        current = self._source.current
        if current is not None and current.password is not None and now >= self._not_before:
            for connection in self._registry:
                if connection.credentials != current and connection.alive and _takes_auth(connection):
                    self._authenticate(connection, current)

    def _count(self) -> None:
        """Take over what has failed since, also for logins."""
        failures, self._failures = self._failures, self._source.failures
        self._context.metrics.uplink.password_failures_total += max(0, self._failures - failures)

    def _had(self, _: object) -> None:
        self._asking = None

    def _authenticate(self, connection: UplinkConnection, credentials: Credentials) -> None:
        before, connection.credentials = connection.credentials, credentials

        def answered(replies: list[object] | None) -> None:
            if replies is not None and isinstance(replies[0], RespError):
                connection.credentials = before
                self._refused(replies[0].text)

        connection.submit_own(Collector(1, answered), encode_command("AUTH", *credentials.auth()), 1)

    def _refused(self, text: str) -> None:
        now = self._context.clock.seconds()
        if now >= self._not_before:
            self._context.metrics.uplink.password_failures_total += 1
            self.log.error(
                "{name}: the new password is refused on open connections, which stay as they are ({text})",
                name=self._context.name,
                text=text,
            )
        self._not_before = now + AFTER_REFUSAL_S

    def close(self) -> None:
        """Wait for no password any more."""
        if self._asking is not None:
            self._asking.cancel()


def _takes_auth(connection: UplinkConnection) -> bool:
    """Whether the server would carry out an AUTH that is sent now, as the next command."""
    holder = connection.holder
    return holder is None or (holder.takes_auth and not connection.outstanding)


def _not_had(failure: Failure) -> None:
    failure.trap(UplinkError, CancelledError)
