"""Fixtures of the tests on real sockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from redisproxy.net.twisted_network import TwistedNetwork
from tests.end_to_end.harness import Certificates, wait_until
from tests.net.bed import NETWORKS, Bed, call, reactor


@pytest.fixture(scope="session")
def running_reactor() -> Iterator[None]:
    thread = threading.Thread(target=reactor.run, kwargs={"installSignalHandlers": False}, daemon=True)
    thread.start()
    wait_until(lambda: reactor.running, "the reactor runs")
    yield
    reactor.callFromThread(reactor.stop)
    thread.join(10)


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest, running_reactor: None) -> Any:
    if request.param == "twisted":
        return TwistedNetwork(reactor)
    from redisproxy.net.native_network import NativeNetwork

    return call(NativeNetwork, reactor)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(Path(tmp_path_factory.mktemp("net")))


@pytest.fixture(params=["plain", "tls"])
def bed(request: pytest.FixtureRequest, network: Any, certificates: Certificates) -> Iterator[Bed]:
    made = Bed(network, certificates if request.param == "tls" else None)
    yield made
    call(made.port.stopListening)
