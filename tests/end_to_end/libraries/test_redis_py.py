"""redis-py, the synchronous client, through many switches."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
import redis

from tests.end_to_end.libraries.switching import Rig, ThreadWorker


def commands(client: redis.Redis, key: str) -> Iterator[None]:
    for number in count(1):
        assert client.incr(key) == number
        client.hset(f"{key}:h", mapping={"a": number, "b": "x" * 2000})
        assert client.hgetall(f"{key}:h") == {"a": str(number), "b": "x" * 2000}
        client.zadd(f"{key}:z", {"m": number})
        assert client.zscore(f"{key}:z", "m") == float(number)
        yield


def pipelines(client: redis.Redis, key: str, transaction: bool) -> Iterator[None]:
    for first in count(1, 10):
        pipe = client.pipeline(transaction=transaction)
        for _ in range(10):
            pipe.incr(key)
        pipe.get(key)
        assert pipe.execute() == [*range(first, first + 10), str(first + 9)]
        yield


def watches(client: redis.Redis, key: str) -> Iterator[None]:
    def add_one(pipe: redis.client.Pipeline) -> None:
        value = int(pipe.get(key) or 0)
        pipe.multi()
        pipe.set(key, value + 1)

    while True:
        assert client.transaction(add_one, key) == [True]
        yield


def locks(client: redis.Redis, key: str) -> Iterator[None]:
    while True:
        with client.lock(f"{key}:lock", timeout=60, sleep=0.001):
            client.set(key, int(client.get(key) or 0) + 1)
        yield


def pushes(client: redis.Redis, key: str) -> Iterator[None]:
    for number in count():
        client.rpush(key, number)
        yield


def pops(client: redis.Redis, key: str, got: list[int]) -> Iterator[None]:
    """The timeout is there to end it; a switch comes far more often."""
    while True:
        popped = client.blpop([key], timeout=1)
        if popped is not None:
            got.append(int(popped[1]))
        yield


@pytest.mark.parametrize("protocol", [2, 3])
def test_plain_commands(rig: Rig, protocol: int) -> None:
    clients = [rig.proxy.client(protocol=protocol, db=number) for number in range(3)]
    with rig.switching_under(*(ThreadWorker(commands(client, "n")) for client in clients)):
        pass


@pytest.mark.parametrize("transaction", [False, True], ids=["plain", "transaction"])
def test_pipelines(rig: Rig, transaction: bool) -> None:
    workers = [ThreadWorker(pipelines(rig.proxy.client(), f"n{number}", transaction)) for number in range(3)]
    with rig.switching_under(*workers):
        pass


@pytest.mark.parametrize("steps", [watches, locks])
def test_rivals_for_one_counter_lose_no_increment(rig: Rig, steps: object) -> None:
    assert callable(steps)
    workers = [ThreadWorker(steps(rig.proxy.client(), "shared")) for _ in range(3)]
    with rig.switching_under(*workers):
        pass
    assert int(rig.server.get("shared") or 0) == sum(worker.done for worker in workers)


@pytest.mark.parametrize("protocol", [2, 3])
def test_blocked_pops_deliver_each_job_once(rig: Rig, protocol: int) -> None:
    got: list[int] = []
    producer = ThreadWorker(pushes(rig.proxy.client(), "jobs"))
    consumers = [ThreadWorker(pops(rig.proxy.client(protocol=protocol), "jobs", got)) for _ in range(3)]
    with rig.switching_under(producer, *consumers):
        pass
    left = [int(number) for number in rig.server.lrange("jobs", 0, -1)]
    assert sorted([*got, *left]) == list(range(producer.done))
