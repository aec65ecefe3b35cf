"""Says what machine a run was measured on, in general words: nothing that names a host, a user or a place."""

from __future__ import annotations

import json
import os
import platform
import re
import ssl
import subprocess
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.peers import Peer, program

_VERSIONS = {
    "Redis": ("redis-server", "--version", r"v=(\d[\d.]*)"),
    "redis-benchmark": ("redis-benchmark", "--version", r"(\d[\d.]*\d)"),
    "HAProxy": ("haproxy", "-v", r"version (\d[\d.]*)"),
    "twemproxy": ("nutcracker", "-V", r"nutcracker-(\d[\d.]*)"),
}


def describe() -> dict[str, str]:
    """Name processor, kernel and versions, as far as they can be found out."""
    found = {
        "processor": f"{_processor()} ({os.cpu_count()} cores)",
        "kernel": "Linux " + platform.release().split("-")[0],
        "Python": platform.python_version(),
        "OpenSSL": ssl.OPENSSL_VERSION.split()[1],
    }
    versions = {label: _version(*how) for label, how in _VERSIONS.items()}
    return {key: value for key, value in (found | versions).items() if value}


def data_path(peer: Peer) -> str:
    """Ask redisproxy which data path it runs on; empty when it does not answer."""
    with suppress(OSError, ValueError, KeyError):
        native = info(peer)["native"]
        return f"{'compiled' if native['active'] else 'pure Python'} framing, {native['transports']} transports"
    return ""


def info(peer: Peer) -> dict[str, Any]:
    """What redisproxy tells of itself (/info.json). Raises OSError or ValueError when it does not."""
    with urllib.request.urlopen(f"http://127.0.0.1:{peer.admin_port}/info.json", timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def _processor() -> str:
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return platform.machine()


def _version(name: str, option: str, pattern: str) -> str:
    with suppress(OSError, subprocess.SubprocessError, BenchError):
        done = subprocess.run([program(name), option], capture_output=True, text=True, timeout=5)
        match = re.search(pattern, done.stdout + done.stderr)
        return match.group(1) if match else ""
    return ""
