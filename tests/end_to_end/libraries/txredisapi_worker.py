"""Works with txredisapi until its standard input ends, and tells of it as L{switching.ProcessWorker} wants to hear.

Called with the port of the proxy. No connection may ever be made again, so none is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from itertools import count
from typing import Any

import txredisapi
from twisted.internet import defer, stdio, task
from twisted.internet.protocol import Protocol

ADD = "return redis.call('INCRBY', KEYS[1], ARGV[1])"


async def commands(client: Any) -> AsyncIterator[None]:
    for number in count(1):
        assert await client.incr("n") == number
        await client.hmset("h", {"a": number, "b": "x" * 2000})
        assert await client.hgetall("h") == {"a": number, "b": "x" * 2000}
        yield


async def at_once(client: Any) -> AsyncIterator[None]:
    """Many commands before the first reply, on several connections."""
    for number in count(1):
        got = await defer.gatherResults([client.incr(f"at-once:{key}") for key in range(30)])
        assert got == [number] * 30
        yield


async def pipelines(client: Any) -> AsyncIterator[None]:
    for first in count(1, 10):
        pipe = await client.pipeline()
        for _ in range(10):
            pipe.incr("pipe")
        assert await pipe.execute_pipeline() == list(range(first, first + 10))
        yield


async def transactions(client: Any) -> AsyncIterator[None]:
    """Each command waits for its QUEUED, so that switches fall into open transactions."""
    for first in count(1, 3):
        transaction = await client.multi()
        for _ in range(3):
            assert await transaction.incr("multi") == "QUEUED"
        assert await transaction.commit() == [first, first + 1, first + 2]
        yield


async def watches(client: Any) -> AsyncIterator[None]:
    """A transaction that lost is tried again; none that won is lost."""
    for number in count(1):
        while True:
            transaction = await client.multi(["watched"])
            await transaction.set("watched", number)
            try:
                await transaction.commit()
            except txredisapi.WatchError:
                continue
            break
        assert await client.get("watched") == number
        yield


async def scripts(client: Any) -> AsyncIterator[None]:
    sha = await client.script_load(ADD)
    for number in count(1):
        assert await client.evalsha(sha, ["script"], [2]) == number * 2
        yield


async def queues(client: Any) -> AsyncIterator[None]:
    for number in count():
        waiting = client.blpop(["jobs"], timeout=0)
        await client.get("nothing")
        await client.rpush("jobs", number)
        assert await waiting == ["jobs", number]
        yield


KINDS = (commands, at_once, pipelines, transactions, watches, scripts, queues)


class Work:
    """All kinds at once, each with a pool of its own."""

    def __init__(self, port: int) -> None:
        self.counts = {kind.__name__: 0 for kind in KINDS}
        self.problem = ""
        self._port = port
        self._stopping = False

    def stop(self) -> None:
        """End after the current steps."""
        self._stopping = True

    def tell(self) -> None:
        """Print one line."""
        print(json.dumps({"counts": self.counts, "problem": self.problem}), flush=True)

    async def run(self) -> None:
        """Work until stopped."""
        await defer.gatherResults([defer.ensureDeferred(self._one(kind)) for kind in KINDS])

    async def _one(self, kind: Callable[[Any], AsyncIterator[None]]) -> None:
        client = await txredisapi.ConnectionPool("127.0.0.1", self._port, poolsize=2, reconnect=False)
        try:
            async for _ in kind(client):
                self.counts[kind.__name__] += 1
                if self._stopping:
                    break
        except Exception as error:
            self.problem = self.problem or f"{kind.__name__}: {type(error).__name__}: {error}"
        await client.disconnect()


class Input(Protocol):
    """Hears the end of standard input."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def connectionLost(self, reason: object = None) -> None:
        self._work.stop()


async def main(reactor: object, port: str) -> None:
    work = Work(int(port))
    stdio.StandardIO(Input(work))
    telling = task.LoopingCall(work.tell)
    telling.start(0.02)
    await work.run()
    telling.stop()
    work.tell()


if __name__ == "__main__":
    task.react(lambda reactor, port: defer.ensureDeferred(main(reactor, port)), sys.argv[1:])
