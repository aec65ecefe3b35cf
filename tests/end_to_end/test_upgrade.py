"""The program on disk takes the place of the one that runs, with real processes: clients do not notice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.end_to_end.harness import Load, RedisServer
from tests.end_to_end.upgrading import Upgraded


@pytest.fixture(params=["native", "pure"])
def proxy(request: pytest.FixtureRequest, server: RedisServer) -> Iterator[Upgraded]:
    environment = {"REDISPROXY_PURE": "1"} if request.param == "pure" else None
    with Upgraded(server.uplink, environment=environment, pubsub=True, allow_commands=["MONITOR"]) as running:
        yield running


def test_clients_under_load_notice_nothing(server: RedisServer, proxy: Upgraded) -> None:
    named = proxy.client(client_name="named", single_connection_client=True)
    number = named.client_id()
    with Load(proxy, 50) as load:
        for _ in range(3):
            before = proxy.pid
            answer = proxy.upgrade()
            assert answer["clients"] == 51 and answer["stayed"] == 0
            assert proxy.pidfile.read_text() == str(proxy.pid) != str(before)
    load.check(server)
    assert named.client_id() == number and named.client_getname() == "named"
    info = proxy.info()
    assert len(info["upgrade"]["last"]) == 3 and info["upgrade"]["last"][0]["pid"] == proxy.pid
    assert proxy.stop() == 0 and not proxy.pidfile.exists()
