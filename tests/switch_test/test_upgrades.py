"""When the upgrades of a run come, and what is told of them."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from redisproxy.cli.commands import main
from redisproxy.switch_test.options import Options
from redisproxy.switch_test.result import repeat
from redisproxy.switch_test.timeline import Timeline
from redisproxy.switch_test.upgrades import Upgrade, moves

pytestmark = pytest.mark.one_twin  # nothing of the proxy runs here

ANSWER: dict[str, Any] = {"ms": 1500.0, "hand_over_ms": 500.0, "clients": 40, "stayed": 0, "pid": 7}


def test_upgrades_are_spread_among_the_switchovers() -> None:
    assert moves(2, 2) == ["switchover", "upgrade"] * 2
    assert moves(1, 3) == ["upgrade", "switchover", "upgrade", "upgrade"]
    assert moves(0, 2) == ["upgrade"] * 2 and moves(2, 0) == ["switchover"] * 2


def test_only_a_wait_of_which_a_part_falls_into_the_upgrade_counts() -> None:
    upgrade = Upgrade(10.0, 12.0, ANSWER)
    upgrade.waited(5.0, 9.9)
    upgrade.waited(12.1, 19.0)
    assert upgrade.told([])["longest_wait_ms"] == 0
    upgrade.waited(9.9, 10.1)
    upgrade.waited(11.9, 12.2)
    upgrade.waited(11.0, 11.1)
    assert upgrade.told([{"began": 5.0, "ended": 12.0}]) == {
        "ms": 1500.0,
        "hand_over_ms": 500.0,
        "clients": 40,
        "stayed": 0,
        "longest_wait_ms": 300.0,
        "load_late_ms": 100.0,
    }


def test_a_wait_is_told_with_the_step_of_the_upgrade_that_went_on() -> None:
    timeline = Timeline()
    Upgrade(10.0, 12.0, ANSWER).add_to(timeline, "upgrade 3")
    wait = {"began": 10.9, "ended": 11.7, "ms": 800.0, "load": "counts", "command": "INCR"}
    told = timeline.explain(wait, [])
    assert told["move"] == "upgrade 3"
    assert told["during"] == {"hand over": 500.0, "take charge": 200.0, "starting the program": 100.0}


def test_the_options_of_upgrades_are_told_for_a_repetition() -> None:
    words = "redisproxy switch-test --switchovers 0 --seed 4 --workers 2 --upgrades 3"
    assert repeat(Options(seed=4, switchovers=0, workers=2, upgrades=3)) == words


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--switchovers", "0"], "--switchovers 0 needs --upgrades"),
        (["--switchovers", "0", "--upgrades", "1", "--back"], "--back says how a switchover goes"),
        (["--switchovers", "0", "--upgrades", "1", "--kill"], "--kill says how a switchover goes"),
        (["--switchovers", "0", "--upgrades", "1", "--manual"], "--manual says how a switchover goes"),
        (["--back", "--kill"], "--back needs the old server alive"),
        (["--failovers", "1", "--kill"], "--kill is for switchovers, and --failovers has none"),
        (["--failovers", "1", "--program-b", "x"], "--program-b is for switchovers"),
        (["--workers", "0"], "--workers"),
        (["--upgrades", "-1"], "--upgrades"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(options: list[str], why: str) -> None:
    result = CliRunner().invoke(main, ["switch-test", *options])
    assert result.exit_code == 2 and why in result.output
