"""Upgrades to the next version of the orders and back, and to one that has none in common."""

from __future__ import annotations

import socket

import pytest

from tests.end_to_end.harness import RedisServer
from tests.end_to_end.upgrading import Hooked

pytestmark = pytest.mark.one_twin

NEXT = """
import redisproxy
from redisproxy.remote import order
redisproxy.__version__, order.VERSION, order.OLDEST = "99.0", 2, {oldest}
"""
GIVES_AN_ORDER_OF_ITS_OWN = """
from redisproxy.dataplane.interface import NotSupported
from redisproxy.upgrade.successor import RemoteSuccessor
class OfVersionTwo(order.Order):
    pass
accept = RemoteSuccessor.accept
async def accept_and_more(self, paused, back):
    assert self._link.version == 1
    try:
        await self._link.give(OfVersionTwo)
    except NotSupported:
        print("the older program does not know the order")
    await accept(self, paused, back)
RemoteSuccessor.accept = accept_and_more
"""


def blocked(proxy: Hooked) -> socket.socket:
    """A client in the middle of something."""
    client = proxy.connect()
    client.sendall(b"MULTI\r\nINCR n\r\n")
    replies = client.makefile("rb")
    assert [replies.readline(), replies.readline()] == [b"+OK\r\n", b"+QUEUED\r\n"]
    return client


def test_the_next_version_takes_over_and_gives_back(server: RedisServer) -> None:
    with Hooked(server) as proxy:
        clients = proxy.clients_at_work()
        transaction = blocked(proxy)
        proxy.on_disk(NEXT.format(oldest=1) + GIVES_AN_ORDER_OF_ITS_OWN)
        answer = proxy.upgrade()
        assert answer["to"] == "99.0" and answer["from"] != "99.0" and answer["clients"] == 21
        assert proxy.info()["version"] == "99.0"
        assert proxy.check(clients) == 0
        proxy.on_disk("")
        answer = proxy.upgrade()
        assert answer["from"] == "99.0" and answer["to"] != "99.0" and answer["clients"] == 21
        assert "the older program does not know the order" in proxy.log
        assert proxy.check(clients) == 0
        assert [each["to"] for each in proxy.info()["upgrade"]["last"]] == [answer["to"], "99.0"]
        transaction.sendall(b"EXEC\r\n")
        assert transaction.makefile("rb").read(len(b"*1\r\n:1\r\n")) == b"*1\r\n:1\r\n"


def test_a_version_without_one_in_common_is_refused(server: RedisServer) -> None:
    with Hooked(server) as proxy:
        clients = proxy.clients_at_work()
        proxy.on_disk(NEXT.format(oldest=2))
        status, answer = proxy.admin("upgrade")
        assert status == 502 and answer["step"] == "start", answer
        assert "takes orders of version 2 to 2, and the other one gives 1 to 1" in answer["error"]
        proxy.goes_on(clients)
