"""The processes of a switch-test, and what they leave behind."""

from __future__ import annotations

import signal
import socket
import sys
from contextlib import closing
from pathlib import Path

import pytest

from redisproxy.switch_test.processes import Process, free_port, wait_until

pytestmark = pytest.mark.one_twin  # nothing of the proxy runs here

# Starts a child, as a server does that writes an RDB, says its number and waits for ever.
PARENT = """
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
time.sleep(60)
"""


def test_a_port_that_was_given_out_is_not_given_out_again_and_is_free_for_a_server() -> None:
    port = free_port()
    with closing(socket.socket()) as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    with closing(socket.create_server(("127.0.0.1", port))):
        socket.create_connection(("127.0.0.1", port)).close()


def test_what_a_killed_process_leaves_is_killed_too(tmp_path: Path) -> None:
    process = Process("parent", tmp_path, [sys.executable, "-c", PARENT])
    log = tmp_path / "parent.log"
    wait_until(lambda: process.alive() and log.read_text().endswith("\n"), "the child has started")
    child = Path("/proc", log.read_text().strip(), "stat")
    assert _runs(child)
    process.end(signal.SIGKILL)
    process.end(signal.SIGKILL)
    wait_until(lambda: not _runs(child), "the child is gone", 5)


def test_an_end_that_was_interrupted_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process("waiting", tmp_path, [sys.executable, "-c", "import time; time.sleep(60)"])
    stat = Path("/proc", str(process._process.pid), "stat")

    def interrupted(timeout: float) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(process._process, "wait", interrupted)
        process.end(signal.SIGCONT)
    assert _runs(stat)
    process.end()
    assert not _runs(stat)


def _runs(stat: Path) -> bool:
    try:
        return stat.read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
