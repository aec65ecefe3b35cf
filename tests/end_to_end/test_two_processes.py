"""A control plane and a data plane in two processes: reload and switchover over a real Unix socket, under load."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.task import deferLater

from redisproxy import config
from redisproxy.control.configuration import Configuration
from redisproxy.control.control import Control
from redisproxy.net import tls
from redisproxy.net.twisted_network import TwistedNetwork
from redisproxy.remote.data_plane import RemoteDataPlane
from tests.end_to_end.harness import Load, RedisServer, free_port
from tests.end_to_end.test_link import run

pytestmark = pytest.mark.one_twin


class DataPlaneProcess:
    """A data plane in a process of its own, with the file that its control plane reads."""

    def __init__(self, folder: Path, uplink: dict[str, Any]) -> None:
        self.path, self.socket, self.port = folder / "config.json", str(folder / "orders.sock"), free_port()
        self.name_server(uplink)
        command = [sys.executable, "-m", "tests.end_to_end.data_plane_process", self.socket, str(self.path)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None and self.process.stdout.readline() == "listening\n"

    def name_server(self, uplink: dict[str, Any]) -> None:
        """Have the file name this server."""
        self.path.write_text(json.dumps({"uplink": uplink, "listen": {"addr": f"127.0.0.1:{self.port}"}}))

    def connect(self, timeout: float = 30.0) -> socket.socket:
        """A client."""
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    async def control(self, reactor: Any) -> tuple[Control, RemoteDataPlane]:
        """A control plane that is connected with it."""
        settings, network = config.load(str(self.path), tls.faults), TwistedNetwork(reactor)
        configuration = Configuration(str(self.path), settings, network, reactor)
        remote = RemoteDataPlane(reactor, configuration.found_in_force)
        link = remote.link()
        await connectProtocol(UNIXClientEndpoint(reactor, self.socket), link)
        await remote.use(link)
        return Control(configuration, remote, network, reactor), remote


@pytest.fixture
def dataplane(tmp_path: Path, server: RedisServer) -> Iterator[Any]:
    dataplane = DataPlaneProcess(tmp_path, server.uplink)
    yield dataplane
    dataplane.process.kill()
    dataplane.process.wait()


def pause(reactor: Any, seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds, lambda: None)


def test_reload_and_switchover_under_load(server: RedisServer, other: RedisServer, dataplane: Any) -> None:
    async def work(reactor: Any) -> Any:
        control, _ = await dataplane.control(reactor)
        control.start()
        with Load(dataplane, 20) as load:
            await pause(reactor, 0.3)
            reloaded = await control.operations.reload()
            dataplane.name_server(other.uplink)
            switched = await control.operations.switchover(dry_run=False)
            await pause(reactor, 0.3)
        info = await control.operations.info()
        await control.stop()
        return load, reloaded, switched["report"], info

    load, reloaded, report, info = run(work)
    load.check(other)
    assert reloaded["state"] == "running" and reloaded["dropped"] == []
    assert report["result"] == "done" and report["clients_closed"] == {}
    assert info["uplink"]["address"] == f"127.0.0.1:{other.port}"


def test_a_control_plane_that_is_lost_leaves_its_clients_at_work(server: RedisServer, dataplane: Any) -> None:
    async def work(reactor: Any) -> Any:
        control, remote = await dataplane.control(reactor)
        control.start()
        with Load(dataplane, 5) as load:
            await remote.gate.hold("reload")
            link = remote._connection.link
            assert link is not None
            link.abort()
            await pause(reactor, 0.5)
        again, remote = await dataplane.control(reactor)
        state = await remote.gate.state()
        await again.stop()
        await control.stop()
        return load, state

    load, state = run(work)
    load.check(server)
    assert state.state == "running" and state.reasons == ()
