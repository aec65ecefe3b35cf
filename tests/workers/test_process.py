"""A worker's process, started as the control process starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from redisproxy import config
from redisproxy.workers.process import Beginning

pytestmark = pytest.mark.one_twin


def test_a_worker_that_nobody_could_find_ends_without_a_traceback(tmp_path: Path) -> None:
    settings = config.Settings.model_validate({"uplink": {"addr": "127.0.0.1:1"}, "listen": {"addr": "127.0.0.1:2"}})
    beginning = Beginning(1, "w1-1-abcdef", str(tmp_path / "gone"), settings)
    done = subprocess.run(
        [sys.executable, "-c", "from redisproxy.workers.process import main; main()"],
        input=beginning.to_bytes(),
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 1 and not done.stdout
    *_, line = done.stderr.decode().splitlines()
    assert line.startswith("the worker does not begin: ") and "No such file or directory" in line
    assert b"Traceback" not in done.stderr
