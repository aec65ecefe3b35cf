"""What the tests of forwarding begin with."""

from __future__ import annotations

import pytest

from tests.wire import Client, Wire


@pytest.fixture
def client(wire: Wire) -> Client:
    """A client that has had a reply."""
    return wire.client_with_a_reply()
