"""The fence of a failover whose leader was lost: a peer lifts it if the sentinels can't have got the order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.task import deferLater
from twisted.logger import Logger

from redisproxy.remote.interrupted import LOOK_AGAIN_S, Arbiter, Verdict
from redisproxy.sentinel.failing_over import promotes_nobody
from redisproxy.sentinel.finder import Finder

if TYPE_CHECKING:
    from redisproxy.config import UplinkSettings
    from redisproxy.fleet.here import Here

ATTEMPTS = 2
"""Whoever follows the sentinels waits for them."""
LOOK_S, LASTS_S = 1.0, 60.0
"""Sentinels make a former primary a replica many seconds later."""


class LeftFence:
    """That of one failover, at a peer."""

    log = Logger(namespace="redisproxy.fleet")

    def __init__(self, here: Here) -> None:
        self._here = here
        self._stays = False

    @property
    def promotion_expected(self) -> bool:
        """Whether the sentinels may have had the order."""
        return self._stays

    def expect_promotion(self) -> None:
        """See C{orders.ExpectPromotion}: the sentinels may have the order from here on."""
        self._stays = True

    async def lift(self) -> None:
        """Have the primary take writes, unless a replica may be promoted.

        Only for who takes part in the failover still, so that no other operation can have begun, and fenced it.
        """
        here, finder = self._here, self._here.configuration.finder
        uplink, arbiter = here.configuration.settings.uplink, Arbiter(here.network, here.clock)
        for _ in range(0 if self._stays else ATTEMPTS):
            primary = uplink.found
            if not isinstance(finder, Finder) or primary is None or not await promotes_nobody(finder, primary):
                return
            if await arbiter.lift_fence(uplink):
                self.log.warn("{server} takes writes: no sentinel was told to fail over", server=str(primary))
                return
            await deferLater(here.clock, LOOK_AGAIN_S)

    async def lift_at_replica(self, former: UplinkSettings) -> None:
        """Lift that of a primary that was left, once it is a replica: promoted again one day, it has to take writes."""
        here = self._here
        arbiter, ends = Arbiter(here.network, here.clock), here.clock.seconds() + LASTS_S
        while self._stays and here.clock.seconds() < ends and not here.control.shutdown.begun:
            await deferLater(here.clock, LOOK_S)
            if await arbiter.lift_fence_of_replica(former):
                return

    async def hold_until_it_is_lifted(self, limit_s: float) -> None:
        """Let the clients go on when the primary is none that was fenced, or not any more."""
        here, hold = self._here, self._here.control.follower.hold
        settings, ends = here.configuration.settings, here.clock.seconds() + limit_s
        arbiter = Arbiter(here.network, here.clock)
        while here.clock.seconds() < ends and hold.ms is not None and here.configuration.settings is settings:
            if await arbiter.look(settings, None) is Verdict.STAY:
                hold.end()
                return
            await deferLater(here.clock, LOOK_AGAIN_S)
