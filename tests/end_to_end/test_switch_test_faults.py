"""The switch-test fails, with a verdict that names it, for every fault that is planted."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.end_to_end.faulty.faults import FAULTS
from tests.end_to_end.test_switch_test import SMALL, run

pytestmark = pytest.mark.one_twin

KINDS = {
    "counter-lost": "lost",
    "element-lost": "lost",
    "element-doubled": "doubled",
    "job-lost": "lost",
    "job-doubled": "doubled",
    "transaction-torn": "torn",
    "watch-ignored": "watch",
    "replies-swapped": "misordered",
    "wrong-client": "mixed up",
    "dropped": "disconnected",
    "error-reply": "error",
    "hangs": "hangs",
    "worker-hangs": "hangs",
    "database-lost": "wrong",
}


def test_every_fault_has_a_kind() -> None:
    assert KINDS.keys() == FAULTS.keys()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught_and_named(fault: str, tmp_path: Path) -> None:
    limit = ["--reply-limit-s", "1.5"] if "hangs" in fault else []
    more = ["--idle", "25"] if fault == "database-lost" else []
    times = "5" if fault == "watch-ignored" else "1"  # the first of them may be over before enough WATCHes have come
    words = [sys.executable, "-m", "tests.end_to_end.faulty", fault, "--switchovers", times, *SMALL, *limit, *more]
    done = run([*words, "--json"], tmp_path)
    result = json.loads(done.stdout)
    assert done.returncode == 1 and result["verdict"] == "fail" and not result["ok"]
    assert result["faults"][0].split(":")[0] == KINDS[fault], result["faults"]
    assert {path.name for path in Path(result["logs"]).iterdir()} >= {"proxy.log", "load.log", "redis-a.log"}
