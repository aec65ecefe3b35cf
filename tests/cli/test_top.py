"""C{redisproxy top}: its screen as lines, and in a real terminal that is given back as it was."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyte
import pytest
from rich.cells import cell_len

from redisproxy.cli.top import _keys_of, _type
from redisproxy.cli.top_screen import Told, View, bars, frame, short
from tests.cli.endpoint import INFO, Endpoint, Start
from tests.cli.test_looking import HOSTILE, NOW, clients

pytestmark = pytest.mark.one_twin
WAIT_S = 40.0
SAMPLES = [{"commands_per_s": number * 100, "client_p99_ms": None, "held": 0} for number in range(60)]
FIGURES = {"now": {**NOW, "bytes_in_per_s": 1e6, "bytes_out_per_s": 5e6}, "samples": SAMPLES}
RUNNING = {**INFO, "state": "running", "paused_for": [], "uplink": {**INFO["uplink"], "connected": True, "advice": ""}}


def told(*rows: dict[str, Any], error: str = "", **info: Any) -> Told:
    return Told({**RUNNING, **info}, FIGURES, clients(*rows)[1], error)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (200, 60), (40, 10), (20, 3), (10, 1)])
def test_a_screen_is_exactly_as_large_as_the_terminal(width: int, height: int) -> None:
    rows = [{"id": 10**9 + number, "name": "漢字" * 20, "addr": "x" * 300} for number in range(100)]
    lines = frame(told(*rows), View(), width, height)
    assert len(lines) == height and all(cell_len(line.plain) <= width for line in lines)


@pytest.mark.parametrize("width", [60, 70, 80, 100, 120, 200])
def test_the_rows_fit_and_long_names_get_the_room_that_there_is(width: int) -> None:
    name = "checkout-service-of-berlin"
    lines = frame(told({"name": name, "cmd": "client|setinfo"}), View(), width, 24)
    row = next(line.plain for line in lines if "10.0.0.1:5" in line.plain)
    assert cell_len(row) <= width and "\u2026" not in row
    assert ("checkout-ser" in row or "checkout-se~" in row) == (width >= 70) and (name in row) == (width == 200)


def test_the_figures_fit_80_columns_also_under_load() -> None:
    now = {**NOW, "errors_per_s": 1234, "bytes_in_per_s": 354e3, "bytes_out_per_s": 123e6, "uplink_p99_ms": 4.67}
    busy = Told({**RUNNING, "clients": {"open": 10_000}, "in_flight": 9_999}, {"now": now, "samples": []}, {})
    text = "\n".join(line.plain for line in frame(busy, View(), 80, 24))
    assert "\u2026" not in text and "out 123 MB/s" in text and re.search(r"redis p99 +4\.67 ms", text)


def test_the_first_screen_answers_what_operators_ask() -> None:
    text = "\n".join(line.plain for line in frame(told({}), View(), 80, 24))
    for part in (
        "running",
        "uplink a:1",
        "12.3k",
        "1.50 ms",
        "clients 3",
        "in flight 1",
        "in 1 MB/s",
        "10.0.0.1:5",
        "blocked",
    ):
        assert part in text, part
    assert "▇" in text and "q quit" in text.splitlines()[-1]


def test_nothing_that_a_client_says_steers_the_terminal() -> None:
    hostile = dict.fromkeys(("name", "lib", "cmd", "user", "addr", "state"), HOSTILE)
    found = told(
        hostile, error=HOSTILE, version=HOSTILE, uplink={"address": HOSTILE, "connected": False, "advice": HOSTILE}
    )
    for view in (View(), View(text=HOSTILE), View(text=HOSTILE, typing=True)):
        assert all(line.plain.isprintable() for line in frame(found, view, 200, 24))


def test_news_are_told_above_everything() -> None:
    moving = {"current": {"to": "b:1", "step": "catch up", "bytes_left": 3_000_000}}
    assert frame(told(switchover=moving), View(), 80, 24)[1].plain == "switchover to b:1: catch up, 3 MB left"
    assert frame(told(error="no answer\nwhy"), View(), 80, 24)[1].plain == "no answer"
    assert frame(told(upgrade={"step": "start"}), View(), 80, 24)[1].plain == "upgrade: start"
    nothing = Told({"state": "running"})
    assert len(frame(nothing, View(), 80, 24)) == 24, "an older proxy tells less"


def test_rows_are_scrolled_within_their_bounds() -> None:
    rows = [{"id": number} for number in range(100)]
    view = View(first=1000)
    shown = [line.plain.split()[0] for line in frame(told(*rows), view, 80, 24)[8:-1]]
    assert shown[-1] == "99" and view.first == 100 - len(shown)
    view.first = -5
    assert frame(told(*rows), view, 80, 24)[8].plain.split()[0] == "0" and view.first == 0


def test_bars_and_short_times() -> None:
    assert bars([None, 0, 5, 10]) == " ▁▅█" and bars([]) == "" and bars([0, 1], unicode=False) == ".#"
    assert [short(each) for each in (5, 65, 7300, 200000)] == ["5s", "1m", "2h", "2d"]


def test_keys_that_come_at_once_are_told_apart() -> None:
    assert list(_keys_of(b"s\x1b[A\x1b[6~q")) == [b"s", b"\x1b[A", b"\x1b[6~", b"q"]


def test_a_key_that_is_not_known_does_not_clear_the_filter() -> None:
    view = View()
    view.typing = True
    for key in _keys_of(b"sh\x1b[D\x1b[1;5C\x1bOHop\x1b[3~"):
        _type(key, view)
    assert view.typing and view.text == "shop"


# -- in a terminal


class Terminal:
    """A terminal of 80 columns and 24 lines in which C{redisproxy top} runs."""

    def __init__(self, endpoint: Endpoint, environment: dict[str, str]) -> None:
        self.near, far = pty.openpty()
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.modes = termios.tcgetattr(far)
        self.screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self.screen)
        self.output = b""
        command = [sys.executable, "-m", "redisproxy.cli", "top", "-c", str(endpoint.config), "--interval", "0.2"]
        environment = {**os.environ, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **environment}
        environment.pop("COLUMNS", None)
        environment.pop("LINES", None)
        self.process = subprocess.Popen(
            command, stdin=far, stdout=far, stderr=far, env=environment, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        self.far = far

    def read(self) -> bool:
        """Read what it has written; whether there was anything."""
        ready, _, _ = select.select([self.near], [], [], 0.05)
        if ready:
            data = os.read(self.near, 65536)
            self.output += data
            self._stream.feed(data)
        return bool(ready)

    def until(self, text: str) -> None:
        deadline = time.monotonic() + WAIT_S
        while text not in "\n".join(self.screen.display):
            assert time.monotonic() < deadline and self.process.poll() is None, "\n".join(self.screen.display)
            self.read()

    def type(self, keys: bytes) -> None:
        os.write(self.near, keys)

    def ended(self) -> int:
        """Its exit code; the terminal is as it was."""
        deadline = time.monotonic() + WAIT_S
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read()
        while self.read():
            pass
        assert termios.tcgetattr(self.far) == self.modes, "keys are shown again, and come line by line"
        assert self.output.count(b"\x1b[?1049h") == self.output.count(b"\x1b[?1049l") == 1, "the screen before is back"
        assert self.output.rindex(b"\x1b[?25h") > self.output.rindex(b"\x1b[?25l"), "the cursor is back"
        return self.process.wait(0)


@contextmanager
def terminal(endpoint: Endpoint, **environment: str) -> Iterator[Terminal]:
    opened = Terminal(endpoint, environment)
    try:
        yield opened
    finally:
        if opened.process.poll() is None:
            opened.process.kill()
            opened.process.wait()
        os.close(opened.near)
        os.close(opened.far)


@pytest.fixture
def endpoint(start: Start) -> Endpoint:
    made = start()
    rows = [{"id": number, "name": HOSTILE} for number in range(1, 60)]
    made.server.pages = {
        "/info.json": (200, RUNNING),
        "/figures.json": (200, FIGURES),
        "/clients.json": clients(*rows),
    }
    return made


def test_it_lives_in_a_terminal_of_80_by_24_and_q_gives_it_back(endpoint: Endpoint) -> None:
    with terminal(endpoint, NO_COLOR="1") as top:
        top.until("12.3k")
        top.until("q quit")
        assert top.screen.display[-1].startswith("q quit") and "10.0.0.1:5" in top.screen.display[8]
        assert not any(code in top.output for code in (b"\x1b[31m", b"\x1b[33m", b"\x1b[36m", b"\x1b[35m")), "NO_COLOR"
        endpoint.server.pages["/info.json"] = (200, {**RUNNING, "state": "paused"})
        top.until("paused")
        top.type(b"\x1b[6~")
        top.until("     11 10.0.0.1:5")
        top.type(b"/sh")
        top.until("filter: sh_")
        top.type(b"op\x7f\r")
        top.until("only: sho")
        top.type(b"s")
        top.until("sort: idle_s")
        while not any("text=sho" in path and "sort=-idle_s" in path for _, path, _, _ in endpoint.server.seen):
            top.read()
        endpoint.server.pages["/info.json"] = (503, {"ok": False, "error": "no worker is running"})
        top.until("no worker is running")
        top.type(b"q")
        assert top.ended() == 0


def test_interrupt_and_the_end_by_others_give_the_terminal_back(endpoint: Endpoint) -> None:
    with terminal(endpoint) as top:
        top.until("12.3k")
        assert b"\x1b[33m" in top.output or b"36" in top.output, "there are colours"
        top.type(b"\x03")
        assert top.ended() == 0
    with terminal(endpoint) as top:
        top.until("12.3k")
        top.process.send_signal(signal.SIGTERM)
        assert top.ended() == 128 + signal.SIGTERM


def test_without_a_terminal_one_screen_is_printed(endpoint: Endpoint) -> None:
    result = endpoint.run("top")
    assert result.exit_code == 0 and "12.3k" in result.stdout and result.stdout.count("blocked") == 59
    assert all(map(str.isprintable, result.stdout.splitlines()))
    assert set(json.loads(endpoint.run("top", "--json").stdout)) == {"info", "figures", "clients"}
