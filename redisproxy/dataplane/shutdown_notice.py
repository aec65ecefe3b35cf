"""Going away with notice: clients that want to know are told, and have time to connect elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

if TYPE_CHECKING:
    from redisproxy.shared.maintenance import Maintenance

POLL_S = 0.05
log = Logger(namespace="redisproxy")


async def give_notice(
    maintenance: Maintenance, clock: IReactorTime, within_s: float, wait_s: float, endpoint: str = ""
) -> None:
    """Tell the clients that want to know that this proxy goes away, and wait until they have left, at most `wait_s`.

    Whoever calls this accepts no more clients, and serves those that there are meanwhile.

    @param within_s: after so many seconds at the most it is gone.
    @param endpoint: C{host:port} where they are to go; without it they connect again where they did.
    """
    staying = maintenance.moving(within_s, endpoint)
    told, deadline = len(staying), clock.seconds() + wait_s
    while staying and clock.seconds() < deadline:
        await deferLater(clock, POLL_S, lambda: None)
        staying = [client for client in staying if not client.closed]
    if told:
        log.info("{told} clients were told to leave, {count} have stayed", told=told, count=len(staying))
