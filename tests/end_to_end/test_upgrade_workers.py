"""Upgrades of a proxy with workers, and clients with TLS, which stay in the old process under the new control plane."""

from __future__ import annotations

import os
import signal
import socket
import threading
from typing import Any

import pytest

from tests.end_to_end.harness import Certificates, Load, RedisServer, wait_until
from tests.end_to_end.upgrading import Upgraded, alive

pytestmark = pytest.mark.one_twin

SLOWLY: dict[str, Any] = {"start_limit_ms": 120_000}


def serving(proxy: Upgraded) -> int:
    """How many workers serve."""
    return sum(not each["leaving"] for each in proxy.info().get("workers", []))


@pytest.mark.timeout(500)
def test_workers_hand_over_to_another_number_of_workers_and_to_none(server: RedisServer) -> None:
    with Upgraded(server.uplink, upgrade=SLOWLY) as proxy:
        named = proxy.once()
        number = named.client_id()
        with Load(proxy, 20) as load:
            for workers in (2, 3, 1):
                proxy.write(workers=workers)
                before = [each["pid"] for each in proxy.info().get("workers", [])]
                assert proxy.upgrade()["stayed"] == 0
                assert serving(proxy) == (workers if workers > 1 else 0)
                wait_until(lambda before=before: not any(map(alive, before)), "the workers of the one before end", 60)
                assert proxy.once().ping() and named.client_id() == number
                assert len(proxy.client().client_list()) >= 21
                proxy.do("reload")
                assert serving(proxy) == (workers if workers > 1 else 0)
        load.check(server)
        assert "no worker is running" not in proxy.log


def test_who_has_tls_stays_in_the_old_process_under_the_new_control_plane(
    server: RedisServer, certificates: Certificates
) -> None:
    with Upgraded(server.uplink, tls=certificates, upgrade=SLOWLY) as proxy:
        client, old = proxy.client(single_connection_client=True), proxy.pid
        number = client.client_id()
        told = notified(proxy)
        answer = proxy.upgrade()
        assert answer["clients"] == 0 and answer["stayed"] == 2
        assert client.client_id() == number and proxy.client().ping() and alive(old)
        wait_until(lambda: any(each["pid"] == old for each in leaving(proxy)), "the old process is driven")
        assert number in {int(each["id"]) for each in proxy.client().client_list()}
        held_while_paused(proxy, client)
        assert proxy.do("reload")["changed"] == []
        assert client.client_id() == number
        with told:
            told.settimeout(30)
            got = b""
            while b"MOVING" not in got:
                more = told.recv(1000)
                assert more, got
                got += more
        client.close()
        proxy.wait_for_the_end_of(old)
        wait_until(lambda: not leaving(proxy), "nothing lingers")


def test_the_old_process_ends_with_the_new_one_however_soon(server: RedisServer, certificates: Certificates) -> None:
    with Upgraded(server.uplink, tls=certificates, upgrade=SLOWLY) as proxy:
        client, old = proxy.client(single_connection_client=True), proxy.pid
        assert client.ping() and proxy.upgrade()["stayed"] == 1
        os.kill(proxy.pid, signal.SIGTERM)
        proxy.wait_for_the_end_of(proxy.pid)
        proxy.wait_for_the_end_of(old)


def leaving(proxy: Upgraded) -> list[dict[str, Any]]:
    """The data planes that linger."""
    return [each for each in proxy.info().get("workers", []) if each["leaving"]]


def notified(proxy: Upgraded) -> socket.socket:
    """A client that wants to know."""
    client = proxy.connect()
    client.sendall(b"HELLO 3\r\n")
    assert client.recv(4000)
    client.sendall(b"CLIENT MAINT_NOTIFICATIONS ON\r\n")
    assert client.recv(4000) == b"+OK\r\n"
    return client


def held_while_paused(proxy: Upgraded, client: Any) -> None:
    """The new process's pause holds a client of the old one."""
    proxy.do("pause-and-wait")
    got: list[object] = []
    asking = threading.Thread(target=lambda: got.append(client.set("held", "1")), daemon=True)
    asking.start()
    wait_until(lambda: proxy.info()["held"] == 1, "it is held")
    assert not got
    proxy.do("unpause")
    asking.join(20)
    assert got == [True]
