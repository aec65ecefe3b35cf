"""The tutorials and the quick start are carried out as they stand: their commands, and what they say that one sees.

Blocks that are marked as neither are left out: of the quick start that is what installs (C{test_package} does
that), the container and the units of systemd (a build machine need not be able to run them), and C{top}, which
needs a terminal.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.end_to_end.harness import free_port, redis_program, valkey_9, wait_until

pytestmark = [pytest.mark.end_to_end, pytest.mark.one_twin]

DOCS = Path(__file__).resolve().parents[2] / "docs"
TUTORIALS = ["quickstart.md", "tutorial.md", "upgrade-to-valkey.md", "move-off-managed.md", "two-proxies.md"]
PORTS = re.compile(r"\b(?:6379|6380|70[012][01])\b")
STEP_S = 60.0
FOREGROUND = re.compile(r"# stays in the foreground.*$", re.MULTILINE)
MARK = "REDISPROXY_TUTORIAL"


class Shell:
    """A shell in a folder of its own.

    @ivar ports: those of the page, and what they are here.
    """

    def __init__(self, folder: Path) -> None:
        self.ports: dict[str, int] = {}
        self._folder = folder
        self._mark = uuid.uuid4().hex
        programs = folder / "bin"
        programs.mkdir()
        for name, path in {"redis-server": redis_program(), "valkey-server": valkey_9()}.items():
            (programs / name).symlink_to(path)
        path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        self._output = folder / "output"
        self._process = subprocess.Popen(
            ["bash", "-u"],
            stdin=subprocess.PIPE,
            stdout=self._output.open("wb"),
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, "PATH": path, "HOME": str(folder), MARK: self._mark, "COLUMNS": "200"},
        )

    def local(self, text: str) -> str:
        """The text with ports that are free here."""

        def port(found: re.Match[str]) -> str:
            return str(self.ports.setdefault(found[0], free_port()))

        return PORTS.sub(port, text)

    def run(self, commands: str) -> str:
        """Carry the commands out; what they have printed."""
        assert self._process.stdin is not None
        begun, end = self._output.stat().st_size, f"done {uuid.uuid4().hex}"
        self._process.stdin.write(f"{commands}\necho; echo {end}\n".encode())
        self._process.stdin.flush()
        wait_until(lambda: end in self._read(begun) or self._process.poll() is not None, commands, STEP_S)
        printed = self._read(begun)
        assert end in printed, printed
        for started in re.findall(r"-server --port (\d+)", commands):
            wait_until(lambda port=int(started): listens(port), f"a server listens on {started}")
        return printed.partition(end)[0]

    def _read(self, begun: int) -> str:
        return self._output.read_bytes()[begun:].decode("utf-8", "replace")

    def end(self) -> None:
        """End it and whatever it has left."""
        self._process.kill()
        self._process.wait()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                if self._has_started(Path("/proc", pid)):
                    os.kill(int(pid), signal.SIGKILL)

    def _has_started(self, process: Path) -> bool:
        """A redis-server in the background has written its title over what it was started with."""
        here = Path(os.readlink(process / "cwd")) == self._folder
        return here or f"{MARK}={self._mark}".encode() in (process / "environ").read_bytes()


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path)
    yield made
    made.end()


def blocks(page: str) -> list[tuple[str, str]]:
    """The blocks with commands, with what one sees, and with the configuration, in order."""
    return re.findall(r"^```(sh|text|json)\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def in_front(commands: str, folder: Path) -> bool:
    """Whether what was put into the background instead, if anything was, has begun to serve."""
    return not FOREGROUND.search(commands) or "redisproxy is running" in (folder / "out").read_text()


def shown(expected: str, printed: str) -> bool:
    """Whether the lines of `expected` are in `printed`, in order; C{...} stands for anything, also for whole lines."""
    at = 0
    for line in expected.splitlines():
        if line.strip() == "...":
            continue
        words = (".*".join(map(re.escape, word.split("..."))) for word in line.split())
        found = re.compile(r"[ \t]*".join(words)).search(printed, at)
        if found is None:
            return False
        at = found.end()
    return True


@pytest.mark.parametrize("page", TUTORIALS)
def test_a_tutorial_does_what_it_says(page: str, shell: Shell, tmp_path: Path) -> None:
    if page == "two-proxies.md" and shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
        pytest.skip("there is no haproxy here")
    if page == "upgrade-to-valkey.md" and b"v=7." not in subprocess.check_output([redis_program(), "--version"]):
        pytest.skip("the redis-server here is no Redis 7")
    shell.run('PATH="$PATH:/usr/sbin"')
    printed = ""
    for kind, text in blocks(page):
        if kind == "json":
            (tmp_path / "config.json").write_text(shell.local(text))
        elif kind == "sh":
            printed = shell.run(FOREGROUND.sub("> out 2>&1 &", shell.local(text)))
            wait_until(lambda begun=text: in_front(begun, tmp_path), "what stays in front is ready", 2 * STEP_S)
        else:
            assert shown(shell.local(text), printed), f"{text}\nis not in\n{printed}"


def test_what_is_expected_is_found_in_order_and_not_otherwise() -> None:
    assert shown("a ... c\n...\nlast\n", "x\na 5 ms c\nother\nlast one\n")
    assert not shown("b\na\n", "a\nb\n") and not shown("a ... c\n", "a\nc\n")
