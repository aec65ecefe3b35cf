"""A large sorted set that clients change without a rest moves with a switchover that copies."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from tests.end_to_end.copying import PROGRAMS, raw
from tests.end_to_end.harness import Proxy, RedisServer

pytestmark = pytest.mark.one_twin

MEMBERS = 60_000
KEY = b"board"


class Writer(threading.Thread):
    """Changes the sorted set through the proxy, and knows what has to be in it."""

    def __init__(self, proxy: Proxy, scores: dict[bytes, float]) -> None:
        super().__init__(daemon=True)
        self.client: Any = proxy.client(decode_responses=False)
        self.scores = scores
        self.over = threading.Event()
        self.writes = 0

    def run(self) -> None:
        dice = random.Random(17)
        while not self.over.wait(0.002):
            member = b"member:%d" % dice.randrange(MEMBERS + 1000)
            if dice.random() < 0.2:
                self.client.zrem(KEY, member)
                self.scores.pop(member, None)
            else:
                score = dice.random() * 1e6
                self.client.zadd(KEY, {member: score})
                self.scores[member] = score
            self.writes += 1


def test_it_is_moved_with_every_write_that_was_acknowledged() -> None:
    with RedisServer(program=PROGRAMS["Redis 7.0"]()) as old, RedisServer(program=PROGRAMS["Redis 8"]()) as new:
        scores = {b"member:%d" % at: at * 1.1 for at in range(MEMBERS)}
        raw(old).zadd(KEY, scores)
        assert raw(old).memory_usage(KEY) > 4 << 20, "as large as it has to be to be kept in place"
        with Proxy(old.uplink, switchover={"mode": "copy", "pause_budget_ms": 20_000}) as proxy:
            writer = Writer(proxy, scores)
            writer.start()
            try:
                proxy.write(uplink=new.uplink)
                report = proxy.do("switchover")["report"]
            finally:
                writer.over.set()
                writer.join(30)
        assert report["result"] == "done" and report["verified"]["differences"] == []
        assert writer.writes > 0 and not writer.is_alive()
        assert dict(raw(new).zrange(KEY, 0, -1, withscores=True)) == scores
