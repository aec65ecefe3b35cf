"""ioredis, node-redis and BullMQ through many switches."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.end_to_end.libraries.switching import ProcessWorker, Rig

FOLDER = Path(__file__).parent.parent / "node"
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node.js, and it could not be installed")


def node(program: str, *arguments: object) -> ProcessWorker:
    """One of the programs of the folder C{node}."""
    assert NODE is not None
    return ProcessWorker(NODE, str(FOLDER / program), *map(str, arguments))


def test_ioredis(rig: Rig) -> None:
    with rig.switching_under(node("ioredis.js", rig.proxy.port)):
        pass


@pytest.mark.parametrize("protocol", [2, 3])
def test_node_redis(rig: Rig, protocol: int) -> None:
    with rig.switching_under(node("node_redis.js", rig.proxy.port, protocol)):
        pass


def test_bullmq_runs_every_job_once(rig: Rig) -> None:
    worker = node("bullmq.js", rig.proxy.port)
    with rig.switching_under(worker):
        pass
    assert worker.result["jobs"] == rig.server.llen("ran") > 0
