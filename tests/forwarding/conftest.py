"""What the tests of forwarding begin with."""

from __future__ import annotations

import pytest

from tests.wire import Client, Wire


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def client(wire: Wire) -> Client:
    """A client that has had a reply."""
    client = wire.client()
    client.send(b"*1\r\n$4\r\nPING\r\n")
    wire.server.send(b"+PONG\r\n")
    assert client.got() == b"+PONG\r\n"
    return client
