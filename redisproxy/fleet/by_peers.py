"""What a leader has its peers do at servers.

Settings of servers hold passwords, so none of them crosses from one proxy to another: who made a server follow is the
one to set them back, whoever leads the way back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.fleet.orders import LiftFence, SetBack

if TYPE_CHECKING:
    from redisproxy.fleet.all_planes import Assembly

SET_BACK_S = 5.0
LIFT_S = 2.0
"""Clients are held meanwhile."""


async def set_back_by_peers(assembly: Assembly) -> list[str] | None:
    """Have the peer that made the server in use follow, once, set back its settings.

    @return: warnings; None when nobody there has.
    """
    party = assembly.party
    if party is None:
        return None
    told = await party.each(party.to_peers(SetBack), SET_BACK_S, may_fail=True)
    answers = [answer for _, answer in told if answer and answer["knew"]]
    return [str(text) for answer in answers for text in answer["warnings"]] if answers else None


async def fence_lifted_by_peers(assembly: Assembly) -> bool:
    """Have the peers lift the fence of a server that this proxy can't reach; whether one did."""
    party = assembly.party
    if party is None:
        return False
    told = await party.each(party.to_peers(LiftFence), LIFT_S, may_fail=True)
    return any(lifted for _, lifted in told)


def some_are_lost(assembly: Assembly) -> bool:
    """Whether a peer that has taken part is not there any more."""
    return assembly.party is not None and not all(member.there for member in assembly.party.members)
