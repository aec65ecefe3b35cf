"""What a switchover has the control plane do: hold the clients, let them go on, and change the settings."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.switchover.report import Report


class ControlPlane(Protocol):
    """The control plane as one switchover sees it."""

    def hold(self) -> Deferred[Any]:
        """Hold the clients."""

    def release(self) -> Deferred[Report]:
        """Let the clients go on; tell how many had waited, how long, and how many were closed meanwhile."""

    def swap(self) -> Coroutine[Deferred[Any], Any, None]:
        """Put the new settings in force. The gate is closed and nothing is in flight."""

    def told_to_go_on(self) -> Deferred[None]:
        """In external mode: fire when the operator has promoted the new server."""
