"""What the peers do in a failover that this proxy has the sentinels make: they hold their clients, and go with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from redisproxy.dataplane.interface import SWITCHOVER, Release
from redisproxy.fleet.all_planes import HOLD_S, SWAP_S
from redisproxy.fleet.by_peers import fence_lifted_by_peers
from redisproxy.fleet.orders import (
    BringToPromoted,
    ClientsClosed,
    ExpectPromotion,
    GoToPromoted,
    PrepareFailover,
)
from redisproxy.remote import orders

if TYPE_CHECKING:
    from redisproxy.config import TcpAddress
    from redisproxy.fleet.all_planes import Assembly
    from redisproxy.fleet.party import Told


class FailoverOfAll:
    """Implements C{control.other_proxies.OtherProxies}."""

    def __init__(self, assembly: Assembly) -> None:
        self._assembly = assembly

    async def prepare(self, primary: TcpAddress, target: TcpAddress, limit_ms: int) -> None:
        if (party := self._assembly.party) is None:
            return
        await party.claim(party.peers)
        where: dict[str, Any] = {"host": target.host, "port": target.port}
        await party.each(party.to_peers(PrepareFailover, primary=str(primary), limit_ms=limit_ms, **where))
        for member, closed in await party.each(party.to_peers(ClientsClosed)):
            member.begins(closed or {})

    async def hold(self) -> None:
        if (party := self._assembly.party) is not None:
            await party.each(party.to_peers(orders.HoldGate, reason=SWITCHOVER), HOLD_S)

    async def drained(self) -> None:
        if (party := self._assembly.party) is not None:
            await party.each(party.to_peers(orders.Drained))

    async def prove_watches(self) -> None:
        if (party := self._assembly.party) is not None:
            await party.each(party.to_peers(orders.ProveWatches), may_be_lost=True)

    async def expect_promotion(self) -> None:
        if (party := self._assembly.party) is not None:
            await party.each(party.to_peers(ExpectPromotion), HOLD_S)

    async def bring_to(self, address: TcpAddress) -> None:
        if (party := self._assembly.party) is not None:
            order = party.to_peers(BringToPromoted, host=address.host, port=address.port)
            await party.each(order, SWAP_S, may_fail=True)

    async def go_to(self, address: TcpAddress) -> None:
        if (party := self._assembly.party) is not None:
            order = party.to_peers(GoToPromoted, host=address.host, port=address.port)
            _note(await party.each(order, may_fail=True))

    async def let_go(self) -> None:
        if (party := self._assembly.party) is not None:
            _note(await party.each(party.to_peers(orders.ReleaseGate, reason=SWITCHOVER), may_fail=True))

    async def lift_fence(self) -> bool:
        return await fence_lifted_by_peers(self._assembly)

    def leave(self) -> None:
        if (party := self._assembly.party) is not None:
            party.disband()

    def released(self, release: Release, clients_closed: Mapping[str, int]) -> None:
        if (party := self._assembly.party) is not None:
            own = party.members[0]
            own.begins(clients_closed)
            own.released(release)


def _note(told: list[Told]) -> None:
    for member, release in told:
        if release is not None:
            member.released(release)
