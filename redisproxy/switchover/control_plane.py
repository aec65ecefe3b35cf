"""What a switchover has the control plane do: hold the clients, let them go on, and change the settings."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.config import TcpAddress
    from redisproxy.switchover.report import Report


class Gatekeeper(Protocol):
    """Holds the clients of one switchover or failover."""

    def hold(self) -> Deferred[Any]:
        """Hold the clients."""

    def release(self) -> Deferred[Report]:
        """Let the clients go on; tell how many had waited, how long, and how many were closed meanwhile."""


class Helped(Gatekeeper, Protocol):
    """Other proxies of the fleet may reach what this one does not."""

    def others_lift_fence(self) -> Coroutine[Deferred[Any], Any, bool]:
        """Have other proxies of the fleet make the old server take writes again, which this one can't reach.

        False when none did.
        """


class ControlPlane(Helped, Protocol):
    """The control plane as one switchover sees it."""

    def swap(self) -> Coroutine[Deferred[Any], Any, None]:
        """Put the new settings in force. The gate is closed and nothing is in flight."""

    def others_left_behind(self) -> bool:
        """Whether other proxies of the fleet were lost, and have to find the new server by themselves."""

    def told_to_go_on(self) -> Deferred[None]:
        """In external mode: fire when the operator has promoted the new server."""


class FailoverControlPlane(Helped, Protocol):
    """The control plane as one failover by the sentinels sees it; other proxies of the fleet hold and go with it."""

    def aim(self, address: TcpAddress) -> Coroutine[Deferred[Any], Any, None]:
        """Prepare to go to the server there; what was prepared before is abandoned.

        @raise Rejected: that can't be.
        """

    def abandon(self) -> Coroutine[Deferred[Any], Any, None]:
        """Leave nothing of what is prepared."""

    def others_drained(self) -> Coroutine[Deferred[Any], Any, None]:
        """Fire when nothing is in flight at other proxies of the fleet, which hold their clients, too.

        @raise DataPlaneLost: one is lost.
        """

    def others_proven(self) -> Coroutine[Deferred[Any], Any, None]:
        """Behind the fence: have other proxies of the fleet see which WATCHes hold."""

    def others_expect_promotion(self) -> Coroutine[Deferred[Any], Any, None]:
        """Have other proxies of the fleet lift no fence from here on, because the sentinels get the order next.

        @raise DataPlaneLost: one is lost, and may lift it.
        """

    def others_bring_to(self, address: TcpAddress) -> Coroutine[Deferred[Any], Any, None]:
        """Have other proxies of the fleet bring to the new primary what their clients have.

        Before any client goes on there: a WATCH that is made again later would miss what was written in between.
        """

    def others_there(self) -> Coroutine[Deferred[Any], Any, None]:
        """Fire when other proxies of the fleet have gone to the new primary, or do so by themselves."""

    def swap(self) -> Coroutine[Deferred[Any], Any, None]:
        """Put the new address in force. The gate is closed and nothing is in flight."""

    def leave_to_follower(self) -> Coroutine[Deferred[Any], Any, None]:
        """Go on holding the clients, for a bounded time, until whoever follows the sentinels has found the primary."""
