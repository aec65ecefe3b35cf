"""A short run of chaos is as promised, and its checks find planted faults."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.chaos.ledger import Count, Elements, Jobs, Slot


def run(*options: str, module: str = "tests.chaos") -> tuple[int, str]:
    """Run it; exit code and output. If it hangs, everything that it has started ends with it."""
    command = [sys.executable, "-m", module, *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            said = process.communicate(timeout=240)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, said


@pytest.mark.parametrize("workers", ["1", pytest.param("2", marks=pytest.mark.one_twin)])
def test_a_short_run_is_as_promised(workers: str) -> None:
    code, said = run("--short", "--workers", workers)
    assert code == 0 and "everything was as promised" in said, said


@pytest.mark.one_twin
def test_a_fleet_whose_proxies_are_cut_off_at_random_is_as_promised() -> None:
    code, said = run("--rounds", "5", "--clients", "1", module="tests.chaos.fleets")
    assert code == 0 and "everything was as promised" in said, said


@pytest.mark.one_twin
def test_servers_that_forget_what_they_acknowledged_are_found() -> None:
    code, said = run("--short", "--forgetful")
    assert code == 1 and "acknowledged elements are lost" in said, said


def test_a_count_knows_lost_and_doubled_increments() -> None:
    count = Count()
    assert not count.replied(1) and not count.replied(2)
    assert count.replied(2) and count.replied(4)
    count.unanswered()
    assert not count.final(2) and not count.final(3) and count.final(1) and count.final(4)
    assert not count.replied(4) and count.replied(4)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (["a", "b", "c"], ""),
        (["a", "maybe", "b", "c"], ""),
        (["a", "c"], "lost: ['b']"),
        (["a", "b", "b", "c"], "twice: ['b']"),
        (["a", "b", "c", "maybe", "maybe"], "twice: ['maybe']"),
        (["a", "c", "b"], "another order"),
        (["a", "b", "c", "d"], "never pushed: ['d']"),
    ],
)
def test_elements_are_there_once_and_in_order(found: list[str], problem: str) -> None:
    elements = Elements(["a", "b", "c"], {"maybe"})
    assert problem in elements.final(found) and bool(problem) == bool(elements.final(found))


def test_a_slot_has_the_last_acknowledged_value_or_an_unanswered_one() -> None:
    slot = Slot()
    assert not slot.read(None) and slot.read("1")
    slot.acknowledged("1")
    slot.unanswered("2")
    assert not slot.read("1") and not slot.read("2") and slot.read(None) and slot.read("0")


@pytest.mark.parametrize(
    ("left", "problem"),
    [
        (["c"], ""),
        (["c", "d"], ""),
        (["c", "a"], "twice: ['a']"),
        (["c", "x"], "nowhere: ['x']"),
        ([], "1 jobs are lost"),
    ],
)
def test_jobs_come_once(left: list[str], problem: str) -> None:
    jobs = Jobs({"a", "b", "c"}, {"d"}, ["a", "b"])
    assert problem in jobs.final(left) and bool(problem) == bool(jobs.final(left))
    jobs.lost_pops.append("worker")
    assert not jobs.final([]) and jobs.final(["a"])
