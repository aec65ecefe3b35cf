"""What a leader tells its peers of the server before: what they have to know to lead the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.control.results import Results

WAY = "server_before"
"""In the report with which a leader dismisses its peers."""
TOLD = ("why_not", "source", "left")


def with_server_before(report: Answer, results: Results) -> Answer:
    """The report of a switchover that is done, with what peers have to know to lead the way back."""
    if report.get("result") != "done":
        return report
    return {**report, WAY: {name: results.way_back[name] for name in TOLD if name in results.way_back}}
