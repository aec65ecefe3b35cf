"""Orders over real Unix sockets: in one process and between two, with clients' sockets passed along."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import Factory

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.remote.order_client import OrderClient
from tests.end_to_end.data_plane_process import Greeted, order_server

pytestmark = pytest.mark.one_twin

LIMIT_S = 20.0
Work = Callable[[Any], Coroutine[Deferred[Any], Any, Any]]


def run(work: Work) -> Any:
    """Run a coroutine to its end in a reactor of its own; what it returns."""
    reactor: Any = EPollReactor()
    results: list[Any] = []
    done = ensureDeferred(work(reactor)).addTimeout(LIMIT_S, reactor)
    done.addBoth(results.append).addBoth(lambda _: reactor.callWhenRunning(reactor.stop))
    reactor.run(installSignalHandlers=False)
    if hasattr(results[0], "raiseException"):
        results[0].raiseException()
    return results[0]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "orders.sock")


@pytest.fixture
def process(path: str) -> Iterator[subprocess.Popen[str]]:
    """A data plane's end in a process of its own."""
    command = [sys.executable, "-m", "tests.end_to_end.data_plane_process", path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "listening\n"
        yield process
        process.kill()


async def connected(reactor: Any, path: str) -> OrderClient:
    client = OrderClient(reactor, lambda link: None)
    await connectProtocol(UNIXClientEndpoint(reactor, path), client)
    await client.greet()
    return client


async def greet_clients(client: OrderClient, greeting: bytes) -> tuple[set[int], list[bytes]]:
    """Pass several clients' sockets at once: who took them, and what the clients got."""
    pairs = [socket.socketpair() for _ in range(20)]
    orders = [
        client.give(Greeted, client=far.fileno(), greeting=b"%d " % at + greeting) for at, (_, far) in enumerate(pairs)
    ]
    takers = {await order for order in orders}
    got = []
    for near, far in pairs:
        far.close()
        near.settimeout(LIMIT_S)
        with near, near.makefile("rb") as file:
            got.append(file.read())
    return takers, got


def test_sockets_and_large_values_go_to_another_process(path: str, process: subprocess.Popen[str]) -> None:
    greeting = b"x" * 100_000

    async def work(reactor: Any) -> Any:
        return await greet_clients(await connected(reactor, path), greeting)

    takers, got = run(work)
    assert takers == {process.pid} and got == [b"%d " % at + greeting for at in range(20)]


def test_a_data_plane_that_dies_is_lost_at_once(path: str, process: subprocess.Popen[str]) -> None:
    async def work(reactor: Any) -> None:
        client = await connected(reactor, path)
        process.kill()
        for _ in range(1000):
            await client.give(Greeted, client=0, greeting=b"")

    with pytest.raises(DataPlaneLost):
        run(work)


def test_orders_go_over_a_pair_of_sockets_in_one_process() -> None:
    async def work(reactor: Any) -> Any:
        client = OrderClient(reactor, lambda link: None)
        server = order_server(reactor)
        for end, protocol in zip(socket.socketpair(), (client, server), strict=True):
            factory: Any = Factory()
            factory.buildProtocol = lambda address, protocol=protocol: protocol
            reactor.adoptStreamConnection(end.fileno(), socket.AF_UNIX, factory)
            end.close()
        await client.greet()
        return await greet_clients(client, b"y" * 70_000)

    takers, got = run(work)
    assert takers == {os.getpid()} and got[19] == b"19 " + b"y" * 70_000
