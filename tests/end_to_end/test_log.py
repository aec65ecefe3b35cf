"""An incident can be told from the log alone: the server goes and comes, a worker crashes, a switchover is refused."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.harness import Proxy, RedisServer, wait_until

pytestmark = [pytest.mark.end_to_end, pytest.mark.one_twin]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def proxy(server: RedisServer) -> Iterator[Proxy]:
    with Proxy(server.uplink, workers=2, log_format="json", log_level="debug") as proxy:
        yield proxy


def events(proxy: Proxy) -> list[dict[str, Any]]:
    """All events, of which each is a line."""
    return [json.loads(line) for line in proxy.log.splitlines() if line.startswith("{")]


def tells(proxy: Proxy, level: str, *words: str) -> bool:
    return any(event["level"] == level and all(word in event["message"] for word in words) for event in events(proxy))


def test_clients_that_come_and_leave_are_told_at_the_level_debug_with_their_worker(proxy: Proxy) -> None:
    client = proxy.client()
    number = client.client_id()
    client.close()
    wait_until(lambda: tells(proxy, "debug", "worker", f"client {number} connected"), "it has come")
    wait_until(lambda: tells(proxy, "debug", "worker", f"client {number} disconnected"), "it has left")


def test_a_lost_worker_is_told(proxy: Proxy) -> None:
    pid = proxy.info()["workers"][0]["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: tells(proxy, "error", "worker 1") or tells(proxy, "warn", "worker 1"), "its end is told")


def test_a_lost_uplink_and_its_return_are_told(proxy: Proxy, server: RedisServer) -> None:
    wait_until(lambda: proxy.get("/readyz")[0] == 200, "all workers are connected")
    control = server.client()

    def lost() -> bool:
        control.client_kill_filter(_type="normal", skipme=True)
        return tells(proxy, "warn", "uplink", "lost")

    wait_until(lost, "it is told that it is lost")
    wait_until(lambda: last(proxy, "connected") > last(proxy, "lost"), "it is told that it is there again")


def last(proxy: Proxy, word: str) -> int:
    """The place of the last event about the uplink that has this word."""
    about = [at for at, event in enumerate(events(proxy)) if {"uplink", word} <= set(words(event))]
    return about[-1] if about else -1


def words(event: dict[str, Any]) -> list[str]:
    return re.findall(r"\w+", event["message"])


def test_a_refused_switchover_is_told_with_its_reason_and_the_level_can_be_changed(proxy: Proxy) -> None:
    status, answer = proxy.admin("switchover", dry_run=0)
    assert status == 409 or status == 400, answer
    proxy.write(log_format="text", log_level="info")
    proxy.do("reload")
    client = proxy.client()
    client.ping()
    client.close()
    proxy.do("pause")
    proxy.do("unpause")
    wait_until(lambda: "running again after" in proxy.log, "the pause is told")
    assert "[redisproxy" in proxy.log.splitlines()[-1]
