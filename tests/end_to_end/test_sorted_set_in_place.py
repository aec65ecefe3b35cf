"""A large sorted set that changes all the time is kept the same at two servers by sending what differs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from redisproxy.copying import sorted_set_in_place
from redisproxy.copying.endpoint import Endpoint
from redisproxy.copying.in_place import InPlace
from redisproxy.copying.sorted_set_in_place import Exchanges, SortedSetInPlace
from redisproxy.copying.value import copy_key
from tests.end_to_end.copying import LATER_MS, PROGRAMS, between, raw
from tests.end_to_end.harness import RedisServer

pytestmark = pytest.mark.one_twin

KEY = b"board"
Pair = tuple[RedisServer, RedisServer]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """They print scores differently."""
    with RedisServer(program=PROGRAMS["Redis 7.0"]()) as old, RedisServer(program=PROGRAMS["Redis 8"]()) as new:
        yield old, new


@pytest.fixture(autouse=True)
def empty(pair: Pair) -> None:
    for each in pair:
        raw(each).flushall()


class Counted:
    """A connection that counts what is asked, and now and then has something happen before."""

    name = "counted"

    def __init__(self, server: Any, happens: Callable[[], None] = lambda: None) -> None:
        self.server = server
        self.happens = happens
        self.commands: list[Any] = []
        self.exchanged = 0

    async def ask_all(self, *commands: Any) -> list[Any]:
        self.happens()
        self.commands += commands
        replies: list[Any] = await self.server.ask_all(*commands)
        return replies

    def exchange(self, request: bytes, replies: int) -> Deferred[bytes]:
        self.happens()
        self.exchanged += 1
        answer: Deferred[bytes] = self.server.exchange(request, replies)
        return answer


def in_place(source: Endpoint, target: Endpoint, wires: tuple[Exchanges, Exchanges] | None = None) -> SortedSetInPlace:
    at_source: Any = source.server
    at_target: Any = target.server
    return SortedSetInPlace(source, target, wires or (at_source, at_target), KEY)


def scores(server: RedisServer) -> dict[bytes, float]:
    return dict(raw(server).zrange(KEY, 0, -1, withscores=True))


def change(client: Any, dice: random.Random) -> None:
    """One random write."""
    member = f"m\r\n{dice.randrange(120)}" if dice.random() < 0.2 else f"m{dice.randrange(120)}"
    score = dice.choice([dice.random() * 10, dice.randrange(5), dice.choice([0.1, -0.0, float("inf"), float("-inf")])])
    write = dice.choice(["zadd", "zadd", "zadd", "zrem", "zincrby", "back"])
    if write == "zrem":
        client.zrem(KEY, member)
    elif write == "zincrby":
        client.zincrby(KEY, 0.7, f"n{dice.randrange(50)}")
    else:
        client.zadd(KEY, {member: dice.randrange(3) if write == "back" else score})


@pytest.mark.parametrize("seed", range(12))
def test_it_is_the_same_once_nobody_writes_any_more(pair: Pair, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """However much changed before, and while it was adjusted: members went from one interval to another and back."""
    monkeypatch.setattr(sorted_set_in_place, "MEMBERS", 7)
    dice = random.Random(seed)
    client = raw(pair[0])
    for _ in range(150):
        change(client, dice)

    async def work(_: Any, source: Endpoint, target: Endpoint) -> None:
        await copy_key(source, target, KEY)
        busy = True

        def happens() -> None:
            if busy and dice.random() < 0.4:
                change(client, dice)

        wires = Counted(source.server, happens), Counted(target.server, happens)
        kept = in_place(source, target, wires)
        for _ in range(6):
            busy = True
            for _ in range(dice.randrange(4)):
                assert await kept.adjust()
            busy = False
            assert await kept.adjust()
            assert scores(pair[0]) == scores(pair[1])

    between(*pair, work)


def test_what_is_the_same_is_asked_for_at_the_old_server_only(pair: Pair) -> None:
    client = raw(pair[0])
    client.zadd(KEY, {f"member:{at}": at / 3 for at in range(5000)})

    async def work(_: Any, source: Endpoint, target: Endpoint) -> tuple[int, int, int]:
        await copy_key(source, target, KEY)
        at_target = Counted(target.server)
        at_source: Any = source.server
        kept = in_place(source, target, (at_source, at_target))
        counts = []
        for _ in range(2):
            assert await kept.adjust()
            counts.append(at_target.exchanged)
        client.zadd(KEY, {"member:17": 1000})
        assert await kept.adjust()
        return counts[0], counts[1], at_target.exchanged

    first, second, third = between(*pair, work)
    assert (first, second, third) == (20, 20, 22), "only the intervals are looked at that have changed"
    assert scores(pair[0]) == scores(pair[1])


def test_its_time_to_live_comes_along(pair: Pair) -> None:
    client = raw(pair[0])
    client.zadd(KEY, {"a": 1})

    async def work(_: Any, source: Endpoint, target: Endpoint) -> None:
        await copy_key(source, target, KEY)
        kept = in_place(source, target)
        client.pexpireat(KEY, LATER_MS)
        assert await kept.adjust()
        assert raw(pair[1]).execute_command("PEXPIRETIME", KEY) == LATER_MS
        client.persist(KEY)
        assert await kept.adjust()
        assert raw(pair[1]).ttl(KEY) == -1

    between(*pair, work)


@pytest.mark.parametrize("which", [0, 1])
def test_what_is_no_sorted_set_any_more_has_to_be_copied(pair: Pair, which: int) -> None:
    raw(pair[0]).zadd(KEY, {f"member:{at}": at for at in range(600)})

    async def work(_: Any, source: Endpoint, target: Endpoint) -> list[bool]:
        await copy_key(source, target, KEY)
        kept = in_place(source, target)
        done = [await kept.adjust()]
        raw(pair[which]).delete(KEY)
        raw(pair[which]).set(KEY, "x")
        if not which:
            raw(pair[0]).zadd("other", {"a": 1})
        done.append(await kept.adjust())
        await copy_key(source, target, KEY)
        return done

    assert between(*pair, work) == [True, False]
    assert raw(pair[0]).dump(KEY)[:1] == raw(pair[1]).dump(KEY)[:1]


def test_a_set_whose_members_have_one_score_has_to_be_copied(pair: Pair) -> None:
    client = raw(pair[0])
    client.zadd(KEY, dict.fromkeys(range(sorted_set_in_place.MAX_MEMBERS + 1), 0))

    async def work(_: Any, source: Endpoint, target: Endpoint) -> bool:
        await copy_key(source, target, KEY)
        return await in_place(source, target).adjust()

    assert not between(*pair, work)


def test_what_is_replaced_in_another_way_is_looked_at_anew(pair: Pair) -> None:
    raw(pair[0]).zadd(KEY, {f"member:{at}": at for at in range(600)})

    async def work(_: Any, source: Endpoint, target: Endpoint) -> None:
        await copy_key(source, target, KEY)
        wires: Any = (source.server, target.server)
        all_in_place = InPlace(source, target, wires)
        assert await all_in_place.adjust(0, KEY)
        for forget in (lambda: all_in_place.forget(0, KEY), all_in_place.forget_all):
            raw(pair[1]).zrem(KEY, "member:17")
            forget()
            assert await all_in_place.adjust(0, KEY)
            assert scores(pair[0]) == scores(pair[1])

    between(*pair, work)
