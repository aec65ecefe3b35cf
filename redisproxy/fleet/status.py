"""What the pages and C{redisproxy fleet} show of the fleet; without secrets."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.fleet.here import Here, SelfPortrait
    from redisproxy.fleet.roster import Place, Roster


class Status:
    """The contents of the pages, as they are at the moment of asking."""

    def __init__(self, here: Here, roster: Roster, portrait: SelfPortrait) -> None:
        self._here = here
        self._roster = roster
        self._portrait = portrait

    async def whole(self) -> Answer:
        """This proxy and each of its peers."""
        own = await self._portrait.introduction()
        if self._here.configuration.settings.fleet is None:
            return {"fleet": False, "self": asdict(own), "peers": []}
        peers = [self._row(place) for place in self._roster.others]
        return {"fleet": True, "self": asdict(own), "peers": peers, "faults": self._roster.faults}

    def short(self) -> Answer | None:
        """For /info.json; None without a fleet."""
        if self._here.configuration.settings.fleet is None:
            return None
        others = self._roster.others
        there = [place for place in others if not place.error]
        elsewhere = [place for place in there if place.peer is not None and place.peer.told.server != self._here.server]
        return {
            "peers": len(others),
            "reachable": len(there),
            "unresolved": self._roster.unresolved,
            "on_another_server": len(elsewhere),
            "leads": self._portrait.leads(),
        }

    def _row(self, place: Place) -> Answer:
        row: Answer = {"addr": str(place.address), "reachable": not place.error, "error": place.error}
        if place.peer is None:
            return row
        lag = {"lag_ms": round(place.peer.lag_s * 1000, 2)}
        return {**row, **asdict(place.peer.told), **lag, "same_server": place.peer.told.server == self._here.server}
