"""What one client waits beside others that ask for much: its small GETs, while a flood runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.cells import BIG_BYTES
from bench.errors import BenchError
from bench.flood import ASKS, BIG_KEY, CLIENTS, PASSWORD_IN, SCRIPT_US
from bench.peers import CHECK_KEY, ROOT, Peer
from bench.wire import Connection

EVERY_S = 0.002
SETTLE_S = 0.3
START_S = 0.8
STOP_DEADLINE_S = 5.0
_ASKED = f"{CLIENTS} clients that each ask for {ASKS} values of {BIG_BYTES // 1000} KB"
BESIDE = {
    "unread": f"{_ASKED} and do not read",
    "read": f"{_ASKED} again and again",
    "script": f"a script of {SCRIPT_US // 1000} ms again and again",
}
"""The floods, for people."""


@dataclass(frozen=True)
class Waits:
    """One run: how long the GETs of one client took through `peer` beside a flood.

    `later_ms` is the 99th percentile of those that it sent when the flood had been going on for START_S.
    """

    peer: str
    beside: str
    p99_ms: float
    max_ms: float
    later_ms: float


def measure(peer: Peer, beside: str, seconds: float, redis_port: int) -> Waits:
    """Raises BenchError when the flood does not go on, or the client does not get its answers."""
    with Connection(redis_port) as redis:
        redis.ask(b"SET", BIG_KEY, b"x" * BIG_BYTES)
    with peer.connect() as client, _flood(peer, beside) as flood:
        began = time.monotonic()
        measured = list(_ask(client, seconds))
        if flood.poll() is not None:
            raise BenchError(f"{peer.name}: {flood.communicate()[1][-300:].strip()}")
    time.sleep(SETTLE_S)
    waits = all_waits([wait for _, wait in measured], EVERY_S)
    later = all_waits([wait for at, wait in measured if at - began >= START_S], EVERY_S)
    return Waits(peer.name, beside, percentile(waits, 0.99) * 1e3, waits[-1] * 1e3, percentile(later, 0.99) * 1e3)


def _ask(client: Connection, seconds: float) -> Iterator[tuple[float, float]]:
    """Send GETs for `seconds`, and one at least after START_S; when each was sent and how long it took."""
    started = began = time.monotonic()
    while began - started < max(seconds, START_S):
        began = time.monotonic()
        client.ask(b"GET", CHECK_KEY)
        took = time.monotonic() - began
        yield began, took
        time.sleep(max(0.0, EVERY_S - took))


@contextmanager
def _flood(peer: Peer, beside: str) -> Iterator[subprocess.Popen[str]]:
    command = ["setpriv", "--pdeathsig", "KILL", "--", sys.executable, "-m", "bench.flood", beside, str(peer.port)]
    flood = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, PASSWORD_IN: peer.password}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert flood.stdin is not None and flood.stdout is not None
    try:
        if flood.stdout.readline() != "ready\n":
            raise BenchError(f"{peer.name}: the load could not connect")
        flood.stdin.write("go\n")
        flood.stdin.flush()
        yield flood
    finally:
        flood.kill()
        flood.communicate(timeout=STOP_DEADLINE_S)


def all_waits(measured: list[float], every: float) -> list[float]:
    """Sort the waits, and add those of the requests that were due while an answer was outstanding.

    One client that waits for 2 s asks for nothing meanwhile; without these its waits would look rare.
    """
    return sorted(wait - every * missed for wait in measured for missed in range(max(1, int(wait / every))))


def percentile(ordered: list[float], share: float) -> float:
    """The percentile of a sorted list."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
