"""What a failover that an operator asks for has other proxies of the same fleet do; without a fleet there are none."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.config import TcpAddress
    from redisproxy.dataplane.interface import Release

    Work = Coroutine[Deferred[Any], Any, None]


class OtherProxies(Protocol):
    """They hold their clients with this one, and go to the new primary."""

    def prepare(self, primary: TcpAddress, target: TcpAddress, limit_ms: int) -> Work:
        """Have all take part, and prepare to go to the replica that will be promoted most likely.

        @param limit_ms: for how long clients are held at the most. @raise DataPlaneLost: one is lost.
        @raise Rejected: one does not take part.
        """

    def hold(self) -> Work:
        """Hold their clients. @raise DataPlaneLost: one is lost."""

    def drained(self) -> Work:
        """Fire when nothing of theirs is in flight. @raise DataPlaneLost: one is lost."""

    def prove_watches(self) -> Work:
        """Behind the fence: see which WATCHes hold."""

    def expect_promotion(self) -> Work:
        """The sentinels get the order next: from here on nobody lifts the fence, and who is lost goes on by itself.

        @raise DataPlaneLost: one is lost; it may lift the fence, so nobody may be promoted.
        """

    def bring_to(self, address: TcpAddress) -> Work:
        """This one was promoted and takes writes: bring there what the clients have, before anybody writes there.

        It does not fail: who is lost goes there by itself, and makes no WATCH again.
        """

    def go_to(self, address: TcpAddress) -> Work:
        """Go there, and let the clients go on. It does not fail."""

    def let_go(self) -> Work:
        """Nobody was promoted, and the primary takes writes: let the clients go on there. It does not fail."""

    def lift_fence(self) -> Coroutine[Deferred[Any], Any, bool]:
        """Have one of them make the primary take writes again, which this proxy can't reach; whether one did."""

    def leave(self) -> None:
        """Somebody was promoted, or may be yet: each follows the sentinels by itself."""

    def released(self, release: Release, clients_closed: Mapping[str, int]) -> None:
        """This proxy has let its own clients go on. @param clients_closed: before, by reason."""


class NoOtherProxies:
    """Implements C{OtherProxies}: this proxy does it alone."""

    async def prepare(self, primary: TcpAddress, target: TcpAddress, limit_ms: int) -> None: ...

    async def hold(self) -> None: ...

    async def drained(self) -> None: ...

    async def prove_watches(self) -> None: ...

    async def expect_promotion(self) -> None: ...

    async def bring_to(self, address: TcpAddress) -> None: ...

    async def go_to(self, address: TcpAddress) -> None: ...

    async def let_go(self) -> None: ...

    async def lift_fence(self) -> bool:
        return False

    def leave(self) -> None: ...

    def released(self, release: Release, clients_closed: Mapping[str, int]) -> None: ...
