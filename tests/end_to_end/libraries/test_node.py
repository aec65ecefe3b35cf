"""ioredis, node-redis and BullMQ through many switches."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.libraries.switching import ProcessWorker, Rig

FOLDER = Path(__file__).parent.parent / "node"
NODE = shutil.which("node")
OLDEST = 20


def _is_there() -> bool:
    """Whether there is a Node.js that the client libraries run on."""
    if NODE is None:
        return False
    version = subprocess.run([NODE, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    return int(version.strip().removeprefix("v").partition(".")[0] or 0) >= OLDEST


needs_node = pytest.mark.skipif(not _is_there(), reason=f"there is no Node.js {OLDEST}, and it could not be installed")
pytestmark = needs_node


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
