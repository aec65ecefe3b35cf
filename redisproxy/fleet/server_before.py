"""What a leader tells its peers of the server before, and how it has one of them set back what that one had set there.

Settings of servers hold passwords, so none of them crosses from one proxy to another: who made a server follow is the
one to set them back, whoever leads the way back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.fleet.orders import SetBack

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.control.results import Results
    from redisproxy.fleet.all_planes import Assembly

WAY = "server_before"
"""In the report with which a leader dismisses its peers."""
TOLD = ("why_not", "source", "left")
LIMIT_S = 5.0


def with_server_before(report: Answer, results: Results) -> Answer:
    """The report of a switchover that is done, with what peers have to know to lead the way back."""
    if report.get("result") != "done":
        return report
    return {**report, WAY: {name: results.way_back[name] for name in TOLD if name in results.way_back}}


async def set_back_by_peers(assembly: Assembly) -> list[str] | None:
    """Have the peer that made the server in use follow, once, set back its settings.

    @return: warnings; None when nobody there has.
    """
    party = assembly.party
    if party is None:
        return None
    told = await party.each(party.to_peers(SetBack), LIMIT_S, may_fail=True)
    answers = [answer for _, answer in told if answer and answer["knew"]]
    return [str(text) for answer in answers for text in answer["warnings"]] if answers else None
