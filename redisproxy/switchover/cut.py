"""What the control plane does for a switchover: the pause that it counts and reports, and the change of settings."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.switchover.report import Report


class Cut(Protocol):
    """One switchover's."""

    def hold(self) -> Deferred[Any]:
        """Hold the clients."""

    def release(self) -> Deferred[Report]:
        """Let the clients go on; tell how many had waited, how long, and how many were closed meanwhile."""

    def swap(self) -> Coroutine[Deferred[Any], Any, None]:
        """Put the new settings in force. The gate is closed and nothing is in flight."""

    def told_to_go_on(self) -> Deferred[None]:
        """In external mode: fire when the operator has promoted the new server."""
