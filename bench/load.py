"""Runs redis-benchmark once, and reads what it printed."""

from __future__ import annotations

import csv
import subprocess
from dataclasses import dataclass
from io import StringIO
from math import isfinite

from bench.cells import Cell
from bench.certificate import CIPHER_SUITE
from bench.errors import BenchError
from bench.peers import Peer, program

KEY = b"key:__rand_int__"
TIMEOUT_S = 25.0


@dataclass(frozen=True)
class Load:
    """What clients saw: commands per second (0 when it was over within a millisecond), and milliseconds."""

    rate_per_s: float
    p50_ms: float
    p99_ms: float


def parse(output: str) -> Load:
    """Read the last line of `redis-benchmark --csv`, under its header. Raises BenchError when there is none."""
    lines = [line for line in output.splitlines() if line.startswith('"')]
    rows = list(csv.DictReader(StringIO("\n".join(lines))))
    try:
        row = rows[-1]
        rate = float(row["rps"])
        return Load(rate if isfinite(rate) else 0.0, float(row["p50_latency_ms"]), float(row["p99_latency_ms"]))
    except (IndexError, KeyError, ValueError) as error:
        raise BenchError(f"redis-benchmark printed no result: {output[-300:]!r}") from error


def run(peer: Peer, cell: Cell, requests: int) -> Load:
    """Send `requests` commands of `cell` through `peer`. Raises BenchError when that fails or takes too long."""
    try:
        done = subprocess.run(
            ["setpriv", "--pdeathsig", "KILL", "--", *_arguments(peer, cell, requests)],
            capture_output=True, text=True, timeout=TIMEOUT_S, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{peer.name}, {cell}: not finished after {TIMEOUT_S:.0f} s") from error
    except subprocess.CalledProcessError as error:
        raise BenchError(f"{peer.name}, {cell}: {error.stderr[-300:]}") from error
    return parse(done.stdout)


def _arguments(peer: Peer, cell: Cell, requests: int) -> list[str]:
    numbers = {"-p": peer.port, "-c": cell.clients, "-P": cell.pipeline, "-n": requests, "-d": cell.value_bytes}
    plain = [text for option, number in numbers.items() for text in (option, str(number))]
    auth = ["-a", peer.password] if peer.password else []
    tls = ["--tls", "--cacert", str(peer.certificate.authority)] if peer.certificate else []
    suite = ["--tls-ciphersuites", CIPHER_SUITE] if peer.certificate else []
    return [program("redis-benchmark"), *plain, "-t", cell.command.lower(), "--csv", *auth, *tls, *suite]
