"""An operator aborts a switchover between real servers: by the program, by Ctrl-C, and when it is too late."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.end_to_end.harness import Load, Proxy, RedisServer, wait_until

pytestmark = pytest.mark.one_twin


def command(proxy: Proxy, *options: str) -> list[str]:
    return [sys.executable, "-m", "redisproxy.cli", "switchover", "-c", str(proxy.path), *options]


@contextmanager
def draining(proxy: Proxy, other: RedisServer) -> Iterator[None]:
    """While this is entered a switchover would come no further than its drain, because of half a command."""
    proxy.write(uplink=other.uplink, switchover={"pause_budget_ms": 60000})
    slow = proxy.connect()
    slow.sendall(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$1000000\r\n" + b"x" * 400000)
    wait_until(lambda: proxy.info()["in_flight"] == 1, "half of a large command is in flight")
    yield
    slow.sendall(b"x" * 600000 + b"\r\n")
    assert slow.recv(100) == b"+OK\r\n"
    slow.close()


def step(proxy: Proxy) -> str:
    return (proxy.info()["switchover"]["current"] or {}).get("step", "")


def test_aborted_by_the_program_it_leaves_everything_as_it_was(
    server: RedisServer, other: RedisServer, proxy: Proxy
) -> None:
    with Load(proxy, 5) as load, draining(proxy, other):
        moving = subprocess.Popen(command(proxy), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: step(proxy) == "drain", "it drains")
        aborted = subprocess.run(command(proxy, "--abort"), capture_output=True, text=True, timeout=30, check=False)
        assert (aborted.returncode, aborted.stdout) == (0, "aborted by an operator while at: drain\n"), aborted.stderr
        assert moving.wait(30) == 1 and moving.stderr is not None
        assert "aborted by an operator while at: drain" in moving.stderr.read()
        assert proxy.client().set("a", 1) and server.client().set("b", 1)
    load.check(server)
    assert proxy.info()["clients"]["closed"] == {} and other.client().role()[0] == "slave"
    nothing = subprocess.run(command(proxy, "--abort"), capture_output=True, text=True, timeout=30, check=False)
    assert nothing.returncode == 1 and "no switchover is running" in nothing.stderr
    assert proxy.do("switchover")["report"]["result"] == "done"


def _shown(terminal: int, text: bytes) -> bytes:
    shown, deadline = b"", time.monotonic() + 60
    while text not in shown:
        assert time.monotonic() < deadline, shown
        shown += os.read(terminal, 65536)
    return shown


def test_ctrl_c_asks_in_a_terminal(server: RedisServer, other: RedisServer, proxy: Proxy) -> None:
    with draining(proxy, other):
        terminal, inner = pty.openpty()
        env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
        moving = subprocess.Popen(command(proxy), env=env, stdin=inner, stdout=inner, stderr=inner)
        os.close(inner)
        _shown(terminal, b"drain")
        moving.send_signal(signal.SIGINT)
        _shown(terminal, b"Abort it?")
        os.write(terminal, b"n\n")
        _shown(terminal, b"drain")
        assert step(proxy) == "drain", "it goes on"
        moving.send_signal(signal.SIGINT)
        _shown(terminal, b"Abort it?")
        os.write(terminal, b"y\n")
        _shown(terminal, b"aborted by an operator")
        os.close(terminal)
        assert moving.wait(30) == 1
    assert server.client().set("a", 1)


def test_ctrl_c_says_how_where_nobody_can_be_asked(server: RedisServer, other: RedisServer, proxy: Proxy) -> None:
    with draining(proxy, other):
        moving = subprocess.Popen(command(proxy), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: step(proxy) == "drain", "it drains")
        moving.send_signal(signal.SIGINT)
        assert moving.wait(30) == 130 and moving.stderr is not None
        assert "redisproxy switchover --abort" in moving.stderr.read() and step(proxy) == "drain"
        assert proxy.do("switchover-abort")["report"]["result"] == "rolled_back"
    assert server.client().set("a", 1)
