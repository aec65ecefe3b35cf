"""redis-py's asyncio client through many switches, many tasks at once in one event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.end_to_end.libraries.switching import Rig

Steps = Callable[[Any, str], AsyncIterator[None]]


async def commands(client: Any, key: str) -> AsyncIterator[None]:
    for number in count(1):
        assert await client.incr(key) == number
        await client.hset(f"{key}:h", mapping={"a": number, "b": "x" * 2000})
        assert await client.hgetall(f"{key}:h") == {"a": str(number), "b": "x" * 2000}
        yield


async def pipelines(client: Any, key: str, transaction: bool = False) -> AsyncIterator[None]:
    for first in count(1, 10):
        async with client.pipeline(transaction=transaction) as pipe:
            for _ in range(10):
                pipe.incr(key)
            assert await pipe.execute() == list(range(first, first + 10))
        yield


def transactions(client: Any, key: str) -> AsyncIterator[None]:
    return pipelines(client, key, transaction=True)


async def watches(client: Any, key: str) -> AsyncIterator[None]:
    key = "watched"

    async def add_one(pipe: Any) -> None:
        value = int(await pipe.get(key) or 0)
        pipe.multi()
        pipe.set(key, value + 1)

    while True:
        assert await client.transaction(add_one, key) == [True]
        yield


async def locks(client: Any, key: str) -> AsyncIterator[None]:
    while True:
        async with client.lock("lock", timeout=60, sleep=0.001):
            await client.set("locked", int(await client.get("locked") or 0) + 1)
        yield


async def queues(client: Any, key: str) -> AsyncIterator[None]:
    """One client blocks and another pushes; the elements arrive in order and complete."""
    async with client.client() as blocking:
        for number in count():
            waiting = asyncio.ensure_future(blocking.blpop([f"{key}:jobs"], timeout=0))
            await client.get("nothing")
            await client.rpush(f"{key}:jobs", number)
            assert list(await waiting) == [f"{key}:jobs", str(number)]
            yield


class LoopWorker(threading.Thread):
    """An event loop in a thread, with one task for each of several clients."""

    def __init__(self, rig: Rig, steps: Steps, protocol: int, clients: int = 5) -> None:
        super().__init__(daemon=True)
        self.problem = ""
        self._counts = [0] * clients
        self._rig = rig
        self._steps = steps
        self._protocol = protocol
        self._stopping = threading.Event()

    @property
    def done(self) -> int:
        """The steps of the slowest client."""
        return min(self._counts)

    @property
    def total(self) -> int:
        """The steps of all clients."""
        return sum(self._counts)

    def run(self) -> None:
        try:
            asyncio.run(self._all())
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"

    def stop(self) -> None:
        self._stopping.set()
        self.join(20)
        if self.is_alive():
            self.problem = self.problem or "still waits for a reply"

    async def _all(self) -> None:
        await asyncio.gather(*(self._one(number) for number in range(len(self._counts))))

    async def _one(self, number: int) -> None:
        options: dict[str, Any] = {"port": self._rig.proxy.port, "protocol": self._protocol, "decode_responses": True}
        async with redis.asyncio.Redis(retry=Retry(NoBackoff(), 0), **options) as client:
            async for _ in self._steps(client, f"n{number}"):
                self._counts[number] += 1
                if self._stopping.is_set():
                    return


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("steps", [commands, pipelines, transactions, queues])
def test_every_reply_is_right(rig: Rig, steps: Steps, protocol: int) -> None:
    with rig.switching_under(LoopWorker(rig, steps, protocol)):
        pass


@pytest.mark.parametrize(("steps", "key"), [(watches, "watched"), (locks, "locked")])
def test_rivals_for_one_counter_lose_no_increment(rig: Rig, steps: Steps, key: str) -> None:
    worker = LoopWorker(rig, steps, protocol=3, clients=3)
    with rig.switching_under(worker):
        pass
    assert int(rig.server.get(key) or 0) == worker.total
