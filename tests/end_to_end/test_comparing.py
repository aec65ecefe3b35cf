"""Two servers are compared: every difference that was planted is found and named, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from redisproxy.copying.compare import compare
from redisproxy.copying.comparison import Comparison, Depth, Extent
from redisproxy.copying.endpoint import Endpoint
from redisproxy.copying.value import copy_keys
from tests.end_to_end.copying import LATER_MS, PROGRAMS, between, fill, raw
from tests.end_to_end.harness import RedisServer

OLD, NEW = "Redis 8", "Valkey 9"
LIBRARY = "#!lua name={name}\nredis.register_function('{name}', function() return {value} end)"


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[RedisServer, RedisServer]]:
    with RedisServer(program=PROGRAMS[OLD]()) as old, RedisServer(program=PROGRAMS[NEW]()) as new:
        yield old, new


@pytest.fixture(scope="module")
def filled(pair: tuple[RedisServer, RedisServer]) -> tuple[RedisServer, RedisServer]:
    old, new = pair
    for db in (0, 3):
        fill(raw(old, db=db), True)

    async def copied(_: Any, source: Endpoint, target: Endpoint) -> None:
        for db in (0, 3):
            for each in (source, target):
                await each.ask("SELECT", db)
            await copy_keys(source, target, await source.ask("KEYS", "*"))

    between(old, new, copied)
    return old, new


def compared(servers: tuple[RedisServer, RedisServer], extent: Extent) -> Comparison:
    async def work(reactor: Any, source: Endpoint, target: Endpoint) -> Comparison:
        return await compare(source, target, extent, reactor)

    result: Comparison = between(*servers, work)
    return result


def found(comparison: Comparison) -> list[tuple[int, bytes | None, str, str]]:
    return [(each.db, each.key, each.kind, each.why) for each in comparison.differences]


Change = Callable[[redis.Redis], Any]
CHANGES: dict[str, tuple[Change, bytes, str, str]] = {
    "a key is gone": (lambda new: new.delete("list"), b"list", "list", "missing"),
    "a large key is gone": (lambda new: new.delete("large"), b"large", "string", "missing"),
    "a key is there only": (lambda new: new.set(b"\xfe", 1), b"\xfe", "string", "extra"),
    "another type": (lambda new: (new.delete("set"), new.set("set", 1)), b"set", "set", "type: string, not set"),
    "a byte": (lambda new: new.setrange("large", 3_000_000, "?"), b"large", "string", "value"),
    "an element": (lambda new: new.lset("list:large", 3000, "?"), b"list:large", "list", "value"),
    "two elements exchanged": (lambda new: new.rpush("list", new.lpop("list")), b"list", "list", "value"),
    "a member": (lambda new: new.srem("set:large", "member:17"), b"set:large", "set", "value"),
    "the last bit of a score": (lambda new: new.zadd("zset", {"m3": 3.0000000000000009}), b"zset", "zset", "value"),
    "a field": (lambda new: new.hset("hash:large", "field:3", "?"), b"hash:large", "hash", "value"),
    "a field's time": (
        lambda new: new.execute_command("HPEXPIREAT", "hash:timed", LATER_MS + 9, "FIELDS", 1, "field:4"),
        b"hash:timed",
        "hash",
        "value",
    ),
    "no field's time": (
        lambda new: new.execute_command("HPERSIST", "hash:timed:large", "FIELDS", 1, "field:4"),
        b"hash:timed:large",
        "hash",
        "value",
    ),
    "a time to live": (lambda new: new.pexpireat("expires", LATER_MS + 135), b"expires", "string", "TTL: 12 ms longer"),
    "a shorter one": (lambda new: new.pexpireat("expires", LATER_MS), b"expires", "string", "TTL: 123 ms shorter"),
    "none": (lambda new: new.persist("expires"), b"expires", "string", "TTL: none"),
    "one too many": (lambda new: new.expire("set", 10000), b"set", "set", "TTL: has one"),
    "an entry": (lambda new: new.xdel("stream", "77-2"), b"stream", "stream", "value"),
    "an acknowledgement": (lambda new: new.xack("stream", "all", "1500-0"), b"stream", "stream", "value"),
    "a pending entry's owner": (
        lambda new: new.xclaim("stream", "all", "two", 0, ["1500-0"], retrycount=7),
        b"stream",
        "stream",
        "value",
    ),
    "a delivery": (
        lambda new: new.xclaim("stream", "all", "one", 0, ["1500-0"], retrycount=8),
        b"stream",
        "stream",
        "value",
    ),
    "a group": (lambda new: new.xgroup_destroy("stream:empty", "g"), b"stream:empty", "stream", "value"),
    "an idle consumer": (lambda new: new.xgroup_delconsumer("stream", "all", "idle"), b"stream", "stream", "value"),
    "a group's place": (lambda new: new.xgroup_setid("stream", "early", "10-1"), b"stream", "stream", "value"),
    "a last id": (lambda new: new.execute_command("XSETID", "stream", "9000-1"), b"stream", "stream", "value"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_difference_is_found_and_named(filled: tuple[RedisServer, RedisServer], name: str) -> None:
    change, key, kind, why = CHANGES[name]
    new = raw(filled[1], db=3)
    saved = new.dump(key), new.pttl(key)
    change(new)
    try:
        comparison = compared(filled, Extent(Depth.ALL))
    finally:
        new.delete(key)
        if saved[0] is not None:
            new.restore(key, 0, saved[0])
            if saved[1] > 0:
                new.pexpireat(key, raw(filled[0], db=3).execute_command("PEXPIRETIME", key))
    assert [each for each in found(comparison) if each[1] is not None] == [(3, key, kind, why)]
    assert not comparison.same


@pytest.mark.parametrize("depth", Depth)
def test_what_is_the_same_has_no_differences(filled: tuple[RedisServer, RedisServer], depth: Depth) -> None:
    comparison = compared(filled, Extent(depth, sample=20))
    keys = raw(filled[0]).dbsize()
    assert comparison.same and comparison.complete and not comparison.unread, comparison
    assert comparison.keys == {0: (keys, keys), 3: (keys, keys)}
    if depth is Depth.ALL:
        assert comparison.compared == 2 * keys
    else:
        assert comparison.compared <= 20 and bool(comparison.compared) == (depth is Depth.SAMPLE)
