"""Fixtures of the library tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.end_to_end.harness import Proxy, RedisServer
from tests.end_to_end.libraries.switching import Rig


@pytest.fixture
def rig(server: RedisServer, other: RedisServer) -> Iterator[Rig]:
    with Proxy(server.uplink, pubsub=True) as proxy:
        yield Rig(proxy, (server, other))
