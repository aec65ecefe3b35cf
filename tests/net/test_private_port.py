"""Unix sockets in a directory that somebody else may remove."""

from __future__ import annotations

import shutil
import socket
import stat
from pathlib import Path

import pytest
from twisted.internet.protocol import Protocol

from redisproxy.net.private_port import close, listen_privately
from tests.net.bed import call, reactor

pytestmark = pytest.mark.one_twin


@pytest.mark.parametrize("gone", [False, True])
def test_it_closes_in_order_whether_its_file_is_there_or_not(running_reactor: None, tmp_path: Path, gone: bool) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    path = folder / "socket"
    port = call(listen_privately, reactor, str(path), Protocol)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(path))
    if gone:
        shutil.rmtree(folder)
    call(close, port)
    assert not path.exists() and not port.connected
