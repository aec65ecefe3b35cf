"""What the tests of this room share."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import provider

from redisproxy.resp import encode_command as cmd
from tests.wire import Client, Wire

GET = cmd("GET", "a")


@pytest.fixture
def client(wire: Wire) -> Client:
    """A client of the shared connection, which is `wire.servers[0]`."""
    client = wire.client()
    client.send(GET)
    wire.server.send(b":0\r\n")
    assert client.got() == b":0\r\n" and wire.server.got() == GET
    return client


@pytest.fixture
def nothing_is_logged() -> Iterator[None]:
    """No failure is logged, and none is left unhandled."""
    failures: list[str] = []

    @provider(ILogObserver)
    def observe(event: dict[str, Any]) -> None:
        if "log_failure" in event:
            failures.append(event["log_failure"].getTraceback())

    globalLogPublisher.addObserver(observe)
    gc.freeze()  # the collector need not look at all that was there before
    yield
    gc.collect()
    gc.unfreeze()
    globalLogPublisher.removeObserver(observe)
    assert not failures, failures[0]
