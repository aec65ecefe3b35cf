"""The sections C{pause}, C{shutdown} and C{upgrade}: how long the proxy waits for replies and for clients."""

from __future__ import annotations

from pydantic import model_validator

from redisproxy.config.address import parse_address
from redisproxy.config.section import Milliseconds, MillisecondsOrOff, Section, Text


class PauseSettings(Section):
    """How long a pause waits for commands in flight."""

    drain_deadline_ms: Milliseconds = 5000


class ShutdownSettings(Section):
    """How the proxy stops.

    Clients that asked for maintenance notifications have C{notice_ms} to leave; they are sent to C{moving_to} if it is
    set. All others have C{wait_for_clients_ms}.
    """

    drain_deadline_ms: Milliseconds = 5000
    wait_for_clients_ms: MillisecondsOrOff = 0
    notice_ms: MillisecondsOrOff = 0
    moving_to: Text | None = None

    @property
    def leaving_ms(self) -> int:
        """How long clients have to leave, at the most."""
        return max(self.wait_for_clients_ms, self.notice_ms)

    @model_validator(mode="after")
    def _check(self) -> ShutdownSettings:
        if self.moving_to is not None:
            try:
                host = getattr(parse_address(self.moving_to, "tcp"), "host", "")
            except ValueError as error:
                raise ValueError(f".moving_to: {error}") from None
            if not host:
                raise ValueError(".moving_to: a host is needed, so that clients know where to go")
        return self


class UpgradeSettings(Section):
    """How the program on disk takes the place of the one that runs.

    It has C{start_limit_ms} to get ready. A process that is to end waits for C{linger_ms} for clients that can't go to
    another one (TLS).
    """

    start_limit_ms: Milliseconds = 30_000
    linger_ms: MillisecondsOrOff = 3_600_000
