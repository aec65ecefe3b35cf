"""The report of a switchover, while it runs and in the end."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from redisproxy.config import TcpAddress
from redisproxy.switchover.report import SwitchoverReport


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def report(clock: Clock) -> SwitchoverReport:
    return SwitchoverReport(clock, TcpAddress("old", 1), TcpAddress("new", 2))


def test_each_step_has_its_time_also_one_that_fails(report: SwitchoverReport, clock: Clock) -> None:
    with report.step("preflight"):
        clock.advance(0.0125)
    with pytest.raises(ValueError, match="no"), report.step("replicate"):
        clock.advance(2)
        raise ValueError("no")
    assert report.fields["steps"] == [{"name": "preflight", "ms": 12.5}, {"name": "replicate", "ms": 2000.0}]
    assert report.fields["step"] == "replicate"


def test_meanwhile_the_step_and_its_figures_show(report: SwitchoverReport, clock: Clock) -> None:
    with report.step("catch up"):
        clock.advance(1.5)
        report.progress = {"bytes_left": 10}
        assert report.current() == {
            "step": "catch up",
            "from": "old:1",
            "to": "new:2",
            "elapsed_ms": 1500,
            "steps": [],
            "warnings": [],
            "bytes_left": 10,
        }


def test_what_could_not_be_undone_is_added_to_the_error(report: SwitchoverReport) -> None:
    report.fields["error"] = "the new server is gone"
    report.not_undone("the old server may still refuse writes: run redisproxy unfence")
    assert report.fields["error"].splitlines() == [
        "the new server is gone",
        "the old server may still refuse writes: run redisproxy unfence",
    ]


def test_warnings_are_kept_in_their_order(report: SwitchoverReport) -> None:
    report.warn(["one", "two"])
    report.warn(iter(["three"]))
    assert report.fields["warnings"] == ["one", "two", "three"]
