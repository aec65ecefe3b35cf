"""What operators see of real traffic: samples, metrics, families; in one process and in several."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from redisproxy.figures.families import FAMILIES, FAMILY_OF, OTHER
from tests.end_to_end.harness import Certificates, Proxy, RedisServer, busy_script, redis_8, valkey_9, wait_until
from tests.figures.exposition import lint, read

pytestmark = pytest.mark.end_to_end
SMALL = {"bitmap": "string", "hyperloglog": "string", "geo": "sorted_set", "sorted-set": "sorted_set"} | {
    "cluster": "server"
}
"""Groups that are part of a larger family."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "workers"])
def proxy(request: pytest.FixtureRequest, server: RedisServer, certificates: Certificates) -> Iterator[Proxy]:
    with Proxy(
        server.uplink, tls=certificates, workers=request.param, slowlog={"threshold_ms": 150}, hot_keys={"sample": 2}
    ) as proxy:
        # It is ready with the first worker, and the figures of each are looked at.
        wait_until(lambda: all(each["answers"] for each in proxy.info().get("workers", ())), "all workers answer", 60)
        yield proxy


def samples(proxy: Proxy) -> list[dict[str, Any]]:
    status, text = proxy.get("/figures.json")
    assert status == 200
    told: list[dict[str, Any]] = json.loads(text)["samples"]
    return told


def test_traffic_shows_in_the_samples_with_its_latency(proxy: Proxy) -> None:
    clients = [proxy.client() for _ in range(4)]

    def busy_seconds() -> list[dict[str, Any]]:
        return [each for each in samples(proxy) if each["client_p50_ms"] is not None]

    def more_than_100() -> bool:
        # On a machine that stands still, what is measured as one second may be long, and the rate in it low.
        for client in clients * 50:
            client.set("a", 1)
        return sum(each["commands_per_s"] for each in busy_seconds()) > 100

    wait_until(more_than_100, "the second of the 200 is over")
    busy = busy_seconds()
    assert all(0 < each["client_p50_ms"] <= each["client_p99_ms"] for each in busy)
    assert all(each["uplink_p50_ms"] <= each["client_p99_ms"] * 1.3 for each in busy)
    times = [each["time"] for each in samples(proxy)]
    assert times == sorted(set(times)) and len(times) <= 300
    now = json.loads(proxy.get("/figures.json")[1])["now"]
    assert now.keys() == busy[0].keys() and now["clients"] >= 4


def test_metrics_of_real_traffic_keep_to_the_conventions(proxy: Proxy) -> None:
    client = proxy.client()
    client.hset("h", "a", 1)
    with suppress(Exception):
        client.execute_command("INCR", "h")
    text = proxy.get("/metrics")[1]
    assert lint(text) == ""
    values = read(text)
    hashes = frozenset({("family", "hash")})
    assert values["redisproxy_commands_by_family_total", hashes] >= 1
    assert values["redisproxy_errors_by_family_total", frozenset({("family", "string")})] >= 1
    assert values["redisproxy_client_latency_seconds_count", hashes] >= 1
    (listener,) = [value for (name, _), value in values.items() if name == "redisproxy_listener_clients"]
    assert listener == values["redisproxy_clients_open", frozenset()]
    ((_, info),) = [key for key in values if key[0] == "redisproxy_info"]
    assert dict(info).keys() == {"version", "config"}
    workers = proxy.info().get("workers", [])
    by_worker = [
        value for (name, _), value in values.items() if name == "redisproxy_worker_client_latency_seconds_count"
    ]
    assert len(by_worker) == len(workers) and (sum(by_worker) >= 1 or not workers)
    assert not [worker for worker in workers if "numbers" in worker]


def test_a_slow_command_is_noted_with_who_and_how_long_where(proxy: Proxy) -> None:
    client = proxy.client()
    assert client.eval(busy_script(0.2), 1, "slow-key", "secret") == 7
    entries = json.loads(proxy.get("/slowlog.json")[1])["entries"]
    (slow,) = [entry for entry in entries if entry["key"] == "slow-key"]
    assert slow["command"] == "EVAL" and slow["client_id"] == client.client_id() and slow["user"] == "default"
    assert slow["redis_ms"] >= 190 and slow["total_ms"] >= slow["redis_ms"] and "secret" not in json.dumps(entries)


def test_hot_keys_and_large_replies_are_found(proxy: Proxy) -> None:
    def hot() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(proxy.get("/hot_keys.json")[1])
        return found

    clients = [proxy.client() for _ in range(4)]
    clients[0].set("large", "secret" * 10_000)

    def found() -> bool:
        for client in clients:
            client.get("large")
            client.hset("hot", "a", 1)
        told = hot()
        large = any(each["bytes"] > 1000 for each in told["replies"])  # others may be the first that are looked at
        return {"hot", "large"} <= {each["key"] for each in told["keys"]} and large

    wait_until(found, "both keys are found")
    told = hot()
    assert told["sample"] == 2 and told["sampled"] > 0 and "secret" not in json.dumps(told)
    assert 0 < told["keys"][0]["share"] <= 1 and told["replies"][0]["bytes"] == 60_010


def test_handshakes_are_counted_those_that_fail_too(proxy: Proxy) -> None:
    def counted(name: str) -> float:
        return read(proxy.get("/metrics")[1])[f"redisproxy_tls_{name}_total", frozenset()]

    before = counted("handshakes")
    proxy.client().ping()
    wait_until(lambda: counted("handshakes") > before, "a good one is counted")
    failed = counted("handshakes_failed")
    with socket.create_connection(("127.0.0.1", proxy.port)) as bad:
        bad.sendall(b"PING\r\n" * 10)
        assert bad.recv(100)[:1] in (b"", b"\x15")
    wait_until(lambda: counted("handshakes_failed") > failed, "a bad one is counted")


@pytest.mark.one_twin
@pytest.mark.parametrize("program", [redis_8(), valkey_9()], ids=["redis 8", "valkey 9"])
def test_families_are_the_groups_that_servers_tell(program: str) -> None:
    with RedisServer(program=program) as server:
        told = server.client().execute_command("COMMAND DOCS")
    pairs = told.items() if isinstance(told, dict) else zip(told[::2], told[1::2], strict=True)
    for name, doc in pairs:
        fields = doc if isinstance(doc, dict) else dict(zip(doc[::2], doc[1::2], strict=True))
        group = SMALL.get(fields["group"], fields["group"])
        expected = group if group in FAMILIES else OTHER
        assert FAMILIES[FAMILY_OF.get(name.upper().encode(), 0)] == expected, name
