"""A worker's process, started as the control process starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from redisproxy import config
from redisproxy.workers.process import Beginning

pytestmark = pytest.mark.one_twin


def test_a_worker_that_nobody_could_find_ends_with_one_line(tmp_path: Path) -> None:
    settings = config.Settings.model_validate({"uplink": {"addr": "127.0.0.1:1"}, "listen": {"addr": "127.0.0.1:2"}})
    beginning = Beginning(1, "w1-1-abcdef", str(tmp_path / "gone"), settings)
    done = subprocess.run(
        [sys.executable, "-c", "from redisproxy.workers.process import main; main()"],
        input=beginning.to_bytes(),
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 1 and not done.stdout
    (line,) = done.stderr.decode().splitlines()
    assert "the last process that could have found it has removed the run directory" in line
