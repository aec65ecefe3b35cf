"""What operators see of a real proxy with two workers, and whom they disconnect."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from click.testing import CliRunner, Result

from redisproxy.cli import main
from tests.end_to_end.harness import Proxy, RedisServer, wait_until

START_S = 60.0
pytestmark = [pytest.mark.end_to_end, pytest.mark.one_twin]


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with RedisServer() as server, Proxy(server.uplink, workers=2, wait=False) as running:
        wait_until(lambda: both_serve(running), "both workers serve", START_S)
        yield running


def both_serve(proxy: Proxy) -> bool:
    """Whether both workers do; three processes have to start for that."""
    with suppress(OSError):
        return [each["connected"] for each in proxy.info().get("workers", ())] == [True, True]
    return False


@pytest.fixture
def clients(proxy: Proxy) -> Iterator[list[redis.Redis]]:
    made = [proxy.client(client_name=f"shop-{number}") for number in range(4)]
    for number, client in enumerate(made):
        client.set(f"key:{number}", "x")
    yield made
    for client in made:
        client.close()


def run(proxy: Proxy, *words: str) -> Result:
    result = CliRunner().invoke(main, [*words, "-c", str(proxy.path)])
    assert "Traceback" not in result.output and not isinstance(result.exception, AttributeError), result
    return result


def table(proxy: Proxy, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(proxy, "clients", "--json", *words).stdout)
    return found


def test_clients_of_all_workers_are_seen_and_one_is_killed(proxy: Proxy, clients: list[redis.Redis]) -> None:
    found = table(proxy, "--name", "shop", "--sort", "name")
    assert [row["name"] for row in found["clients"]] == [f"shop-{number}" for number in range(4)]
    assert {row["worker"] for row in found["clients"]} == {1, 2} and found["missing"] == []
    assert all("redis-py" in row["lib"] and row["addr"].startswith("127.0.0.1:") for row in found["clients"])
    result = run(proxy, "clients", "--name", "shop-2", "--kill", "--yes")
    assert result.exit_code == 0 and result.stdout == "1 client was disconnected\n"
    wait_until(lambda: table(proxy, "--name", "shop")["total"] == 3, "the client has gone")
    assert clients[1].get("key:1") == "x", "nobody else was disconnected"
    assert "1 clients were killed by an operator" in proxy.log


def test_state_moves_and_figures_are_told(proxy: Proxy, clients: list[redis.Redis]) -> None:
    assert run(proxy, "pause-and-wait").exit_code == 0
    assert run(proxy, "status", "--check").exit_code == 1
    assert run(proxy, "unpause", "--json").exit_code == 0
    assert run(proxy, "status", "--check").exit_code == 0
    assert run(proxy, "reload").exit_code == 0
    assert "reload" in run(proxy, "history").stdout
    assert "redisproxy_clients_open 4" in run(proxy, "metrics", "clients_open").stdout
    screen = run(proxy, "top", "--once").stdout
    assert "shop-3" in screen and "running" in screen
