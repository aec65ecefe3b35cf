"""WAIT tells the truth although the connection that it runs on has not written anything itself."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from threading import Thread

import pytest

from tests.end_to_end.harness import Proxy, RedisServer

pytestmark = pytest.mark.one_twin


@pytest.fixture
def replica(server: RedisServer, other: RedisServer) -> Iterator[RedisServer]:
    other.follow(server)
    yield other
    other.process.send_signal(signal.SIGCONT)


def test_it_waits_for_what_was_written_on_a_shared_connection(proxy: Proxy, replica: RedisServer) -> None:
    client = proxy.client()
    assert client.set("a", 1) and client.wait(1, 5000) == 1
    replica.process.send_signal(signal.SIGSTOP)
    assert client.set("a", 2) and client.wait(1, 300) == 0
    replica.process.send_signal(signal.SIGCONT)
    assert client.wait(1, 5000) == 1 and replica.client().get("a") == "2"


def test_it_does_not_hold_a_pause_up_and_says_what_is_true(proxy: Proxy, replica: RedisServer) -> None:
    client = proxy.client()
    client.wait(1, 5000)
    replica.process.send_signal(signal.SIGSTOP)
    client.set("a", 1)
    answers: list[int] = []
    waiting = Thread(target=lambda: answers.append(client.wait(1, 0)))
    waiting.start()
    time.sleep(0.2)
    began = time.monotonic()
    assert proxy.admin("reload")[0] == 200
    waiting.join(5)
    assert answers == [0] and time.monotonic() - began < 5


def test_nobody_sees_the_write_behind_it(server: RedisServer, proxy: Proxy, replica: RedisServer) -> None:
    listener = server.client().pubsub()
    listener.psubscribe("*")
    assert listener.get_message(timeout=5)["type"] == "psubscribe"
    keys = server.client().dbsize()
    assert proxy.client().wait(1, 5000) == 1
    assert listener.get_message(timeout=0.3) is None and server.client().dbsize() == keys
