"""The switch-test passes with the proxy as it is, and names every fault that is planted."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redisproxy.switch_test.busy_clients import KINDS
from redisproxy.switch_test.connection import Connection, Word, connect
from redisproxy.switch_test.ledger import Ledger
from tests.end_to_end.harness import RedisServer, wait_until

pytestmark = pytest.mark.one_twin

SMALL = ["--busy", "12", "--blocked", "10"]
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
# A process that takes another one's place drops what its clients have sent and nobody has taken: their BLPOP.
FORGETS_WHAT_WAS_SENT = """
import os
if "REDISPROXY_UPGRADE" in os.environ:
    from redisproxy.serving.arriving import Arriving
    straight = Arriving.go_on
    def go_on(self, value):
        straight(self, value.model_copy(update={"unread": b""}))
    Arriving.go_on = go_on
"""
UPGRADES_S = 400
"""Each starts a program, which takes seconds on a machine that has other things to do."""


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a path that is short enough for the Unix sockets of workers."""
    with tempfile.TemporaryDirectory(prefix="st-", dir="/tmp") as name:
        yield Path(name)


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "redisproxy.cli", "switch-test", *SMALL, *options]


def run(words: list[str], folder: Path, limit_s: float = 90, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "TMPDIR": str(folder), **environment}
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=limit_s, check=False)


def switch_test(folder: Path, *options: str, limit_s: float = 90, **environment: str) -> tuple[int, dict[str, Any]]:
    done = run([*command(*options), "--json"], folder, limit_s, **environment)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize("how", [["--idle", "40", "--data-mb", "1"], ["--manual"]], ids=["switchover", "manual"])
def test_no_client_notices_and_nothing_is_lost(how: list[str], tmp_path: Path) -> None:
    code, result = switch_test(tmp_path, "--switchovers", "3", *how)
    assert result["faults"] == [] and code == 0 and result["verdict"] == "pass"
    assert result["switchovers"] == 3 and result["commands"] > 0 and result["delivered"] > 0
    assert result["idle_checked"] >= result["options"]["idle"]
    assert list(tmp_path.iterdir()) == []


def test_the_old_primary_may_be_killed_right_after_the_promotion(tmp_path: Path) -> None:
    code, result = switch_test(tmp_path, "--switchovers", "4", "--kill")
    assert result["faults"] == [] and code == 0 and result["switchovers"] == 4
    assert result["old_gone_at_once"] > 0, "none was dead before the switchover was over"


def test_going_back_every_second_time_loses_nothing_either(tmp_path: Path) -> None:
    code, result = switch_test(tmp_path, "--switchovers", "6", "--back")
    assert result["faults"] == [] and code == 0 and result["switchovers"] == 6


def test_no_client_notices_failovers_by_sentinels(tmp_path: Path) -> None:
    code, result = switch_test(tmp_path, "--failovers", "2")
    assert result["faults"] == [] and code == 0 and result["failovers"] == 2 and result["switchovers"] == 0
    assert result["commands"] > 0 and result["delivered"] > 0 and result["steps_ms"]["promote"]
    assert list(tmp_path.iterdir()) == []


def test_a_proxy_that_loses_a_write_is_caught_and_the_write_is_named(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(LOSES_A_WRITE)
    code, result = switch_test(tmp_path, "--switchovers", "1", PYTHONPATH=str(tmp_path), REDISPROXY_PURE="1")
    assert code == 1 and not result["ok"]
    assert [fault.split(":")[0] for fault in result["faults"]] == ["lost"]


def test_no_client_notices_upgrades_of_a_proxy_with_workers(short: Path) -> None:
    options = ["--workers", "2", "--upgrades", "3", "--switchovers", "1", "--idle", "10"]
    code, result = switch_test(short, *options, limit_s=UPGRADES_S)
    assert result["faults"] == [] and code == 0
    assert (result["switchovers"], result["upgrades"]) == (1, 3)
    for each in result["upgrade_reports"]:
        assert each["clients"] >= 32 and each["stayed"] == 0
        assert 0 < each["hand_over_ms"] < each["ms"] and each["longest_wait_ms"] > 0
    wait_until(lambda: _processes_in(short) == [], "all are gone")
    assert list(short.iterdir()) == []


@pytest.mark.one_twin
def test_after_an_upgrade_the_server_before_is_gone_back_to_by_its_name(short: Path) -> None:
    code, result = switch_test(short, "--upgrades", "3", "--switchovers", "2", "--back", limit_s=UPGRADES_S)
    assert result["faults"] == [] and code == 0
    assert (result["switchovers"], result["upgrades"]) == (2, 3)


@pytest.mark.one_twin
def test_an_upgrade_that_forgets_what_clients_have_sent_is_caught(short: Path) -> None:
    (short / "sitecustomize.py").write_text(FORGETS_WHAT_WAS_SENT)
    options = ["--upgrades", "1", "--switchovers", "0", "--reply-limit-s", "5"]
    code, result = switch_test(short, *options, limit_s=UPGRADES_S, PYTHONPATH=str(short))
    assert code == 1 and result["upgrades"] == 1
    assert any(re.fullmatch(r"hangs: worker \d+: BLPOP got none .*", fault) for fault in result["faults"])


def test_without_redis_it_says_that_it_could_not_run(tmp_path: Path) -> None:
    code, result = switch_test(tmp_path, PATH="/nowhere")
    assert code == 2 and "redis-server" in result["error"]


def test_into_a_file_it_writes_plain_text_with_the_seed_and_the_verdict(tmp_path: Path) -> None:
    done = run(command("--switchovers", "1", "--seed", "7"), tmp_path)
    assert done.returncode == 0 and done.stderr == "seed 7\n"
    assert "\x1b" not in done.stdout and done.stdout.endswith("pass (seed 7)\n")
    assert "redisproxy switch-test --switchovers 1 --seed 7 --busy 12 --blocked 10\n" in done.stdout


def test_in_a_terminal_it_shows_the_steps_and_interrupted_it_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    terminal, inner = pty.openpty()
    env = {**os.environ, "TMPDIR": str(tmp_path), "TERM": "xterm", "COLUMNS": "80"}
    process = subprocess.Popen(command("--switchovers", "500"), env=env, stdin=inner, stdout=inner, stderr=inner)
    os.close(inner)
    shown = _until(terminal, rb"watch it in a browser: .*http://127\.0\.0\.1:\d+/")
    shown += _until(terminal, rb"catch up")
    shown += _until(terminal, rb"writes/s")
    process.send_signal(signal.SIGINT)
    shown += _rest(terminal)
    assert process.wait(20) == 130
    assert b"interrupted" in shown and b"again: redisproxy switch-test" in shown
    assert list(tmp_path.iterdir()) == []
    # The child that writes an RDB is killed with its server, but not awaited.
    wait_until(lambda: _processes_in(tmp_path) == [], "all are gone")


def test_a_seed_decides_what_each_client_sends_and_when(server: RedisServer) -> None:
    sent = []
    for seed in (1, 1, 2):
        server.client().flushall()
        sent.append(asyncio.run(_first_turns(server.port, seed)))
    assert sent[0] == sent[1] and sent[0] != sent[2]


async def _first_turns(port: int, seed: int) -> list[object]:
    sent: list[object] = []
    for number, kind in enumerate(KINDS):
        client = kind(number, await connect(port), Ledger(), seed, 32)
        client.wire.ask = _recording(client.wire, sent)  # type: ignore[method-assign]
        await client.begin()
        for _ in range(20):
            sent.append(client.think_s(1.0))
            await client.turn()
        client.wire.close()
    return sent


def _recording(wire: Connection, sent: list[object]) -> Any:
    ask = wire.ask

    async def record(*commands: tuple[Word, ...]) -> list[object]:
        sent.extend(commands)
        return await ask(*commands)

    return record


def _until(terminal: int, pattern: bytes) -> bytes:
    shown, deadline = b"", time.monotonic() + 60
    while not re.search(pattern, shown):
        assert time.monotonic() < deadline, shown
        shown += os.read(terminal, 65536)
    return shown


def _rest(terminal: int) -> bytes:
    shown = b""
    try:
        while piece := os.read(terminal, 65536):
            shown += piece
    except OSError:
        pass  # Linux: everybody at the other end has gone
    os.close(terminal)
    return shown


def _processes_in(folder: Path) -> list[str]:
    """Processes whose working directory is or was below `folder`, as those of a switch-test are."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cwd"):
        try:
            where = os.readlink(each)
        except OSError:
            continue
        if where.startswith(str(folder)):
            found.append(where)
    return found
