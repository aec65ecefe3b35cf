"""Whether the process at the other end of a Unix socket lives, also when it has closed its end."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from redisproxy.remote.other_end import ProcessAtOtherEnd

CONNECTS = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.close()
sys.stdin.read()
"""


def test_a_process_lives_until_it_has_ended_whatever_it_has_closed(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        process = subprocess.Popen([sys.executable, "-c", CONNECTS, path], stdin=subprocess.PIPE)
        accepted, _ = listening.accept()
        with accepted:
            link: Any = SimpleNamespace(transport=SimpleNamespace(socket=accepted))
            other_end = ProcessAtOtherEnd(link)
            assert accepted.recv(1) == b"" and other_end.lives()
            process.communicate()
            deadline = time.monotonic() + 10
            while other_end.lives():
                assert time.monotonic() < deadline
            other_end.close()
            assert not other_end.lives()
