"""The switch-test passes with the proxy as it is, and fails with one that loses a write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Sent under another key, one push is acknowledged as ever and never reaches its queue.
LOSES_A_WRITE = """
import socket, sys
if "redisproxy" in sys.orig_argv:
    lost = []
    straight = socket.socket.send
    def send(self, data, *flags):
        data = bytes(data)
        at = data.find(b"RPUSH\\r\\n$6\\r\\njobs:")
        if at >= 0 and not lost:
            lost.append(1)
            data = data[:at] + data[at:].replace(b"jobs:", b"lost:", 1)
        return straight(self, data, *flags)
    socket.socket.send = send
"""


def switch_test(*options: str, **environment: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "-m", "redisproxy.cli", "switch-test", "--json", "--busy", "12", "--blocked", "10"]
    done = subprocess.run(
        [*command, *options], env={**os.environ, **environment}, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("how", [[], ["--kill"], ["--manual"]], ids=["switchover", "kill", "manual"])
def test_no_client_notices_and_nothing_is_lost(how: list[str]) -> None:
    code, result = switch_test("--switchovers", "3", *how)
    assert result["faults"] == [] and code == 0
    assert result["switchovers"] == 3 and result["commands"] > 0 and result["delivered"] > 0


def test_a_proxy_that_loses_a_write_is_caught_and_the_write_is_named(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(LOSES_A_WRITE)
    code, result = switch_test("--switchovers", "1", PYTHONPATH=str(tmp_path), REDISPROXY_PURE="1")
    assert code == 1 and not result["ok"]
    assert [fault.split(":")[0] for fault in result["faults"]] == ["lost"]


def test_without_redis_it_says_that_it_could_not_run() -> None:
    code, result = switch_test(PATH="/nowhere")
    assert code == 2 and "redis-server" in result["error"]
