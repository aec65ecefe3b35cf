"""txredisapi, Twisted's client, through many switches."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.end_to_end.libraries.switching import ProcessWorker, Rig

WORKER = Path(__file__).with_name("txredisapi_worker.py")
# Which key each kind of work counts with, and by how much in one step.
COUNTERS = {
    "commands": ("n", 1),
    "at_once": ("at-once:29", 1),
    "pipelines": ("pipe", 10),
    "transactions": ("multi", 3),
    "watches": ("watched", 1),
    "scripts": ("script", 2),
}


def test_every_reply_is_right(rig: Rig) -> None:
    worker = ProcessWorker(sys.executable, str(WORKER), str(rig.proxy.port))
    with rig.switching_under(worker):
        pass
    for kind, (key, each) in COUNTERS.items():
        assert int(rig.server.get(key) or 0) == each * worker.counts[kind]
    assert rig.server.llen("jobs") == 0
