"""Keys are copied by type between servers of all versions, and are the same there."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest

from redisproxy.copying.batches import Batches
from redisproxy.copying.compare import compare
from redisproxy.copying.comparison import Comparison, Depth, Extent
from redisproxy.copying.digest import digests, in_common
from redisproxy.copying.endpoint import Endpoint, Features, endpoint
from redisproxy.copying.kinds import KINDS
from redisproxy.copying.stream import PENDING
from redisproxy.copying.value import Copied, Outcome, copy_keys
from redisproxy.copying.writer import Writer
from tests.end_to_end.copying import LATER_MS, PROGRAMS, WITH_FIELD_EXPIRY, between, contents, fill, raw
from tests.end_to_end.harness import RedisServer

pytestmark = pytest.mark.one_twin

PAIRS = list(permutations(PROGRAMS, 2))


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, RedisServer]]:
    started = {name: RedisServer(program=program()) for name, program in PROGRAMS.items()}
    yield started
    for each in started.values():
        each.stop()


async def copied(_: Any, source: Endpoint, target: Endpoint) -> tuple[list[bytes], list[Copied], list[Any], list[Any]]:
    """Copy everything; the keys, what came of each, and the digests on both sides."""
    keys = await source.ask("KEYS", "*")
    results = await copy_keys(source, target, keys)
    detail = in_common(source.features, target.features)
    return keys, results, await digests(source, keys, detail), await digests(target, keys, detail)


@pytest.mark.parametrize(("old_name", "new_name"), PAIRS)
def test_values_of_every_type_arrive_as_they_are(servers: dict[str, RedisServer], old_name: str, new_name: str) -> None:
    old, new = raw(servers[old_name]), raw(servers[new_name])
    old.flushall()
    new.flushall()
    both = {old_name, new_name} <= set(WITH_FIELD_EXPIRY)
    fill(old, old_name in WITH_FIELD_EXPIRY)
    keys, results, before, after = between(servers[old_name], servers[new_name], copied)
    assert {each.outcome for each in results} == {Outcome.COPIED}
    there = contents(new, both)
    for key, was, content in zip(keys, before, (contents(old, both)[key] for key in keys), strict=True):
        assert there[key] == content
        assert was.value
    assert after == before
    losses = {key: each.losses for key, each in zip(keys, results, strict=True) if each.losses}
    assert bool(losses) == (old_name in WITH_FIELD_EXPIRY and not both)
    assert len(there) == len(keys)


def test_a_user_who_may_do_little_is_enough(servers: dict[str, RedisServer]) -> None:
    """Such as those of managed services: nobody tells it how large a key is, or when it expires."""
    old, new = raw(servers["Redis 7.0"]), raw(servers["Redis 6.2"])
    old.flushall()
    new.flushall()
    fill(old, False)
    refused = [f"-{name}" for name in ("memory", "pexpiretime", "function", "config", "debug", "client", "eval")]
    old.execute_command("ACL", "SETUSER", "managed", "on", ">secret", "~*", "+@all", *refused)

    async def work(reactor: Any, source: Endpoint, target: Endpoint) -> tuple[Features, list[Any], Comparison]:
        await source.ask("AUTH", "managed", "secret")
        managed = await endpoint(source.server)
        _, results, _, _ = await copied(reactor, managed, target)
        return managed.features, results, await compare(managed, target, Extent(Depth.ALL), reactor)

    features, results, comparison = between(servers["Redis 7.0"], servers["Redis 6.2"], work)
    assert not features.memory_usage and not features.expiry_times and not features.functions
    assert {each.outcome for each in results} == {Outcome.COPIED}
    assert contents(new, False) == contents(old, False)
    assert comparison.same and comparison.compared == len(results)


def test_times_of_delivery_and_of_expiry_are_the_same_to_the_millisecond(servers: dict[str, RedisServer]) -> None:
    """From a server that tells only how long something has left, or ago it was."""
    old, new = raw(servers["Redis 6.2"]), raw(servers["Valkey 9"])
    old.flushall()
    new.flushall()
    names = [f"key:{at}" for at in range(300)]
    for at, name in enumerate(names):
        old.set(name, "x", pxat=LATER_MS + at * 7)
        old.xadd("stream", {"a": at}, id=f"{at + 1}-0")
    old.xgroup_create("stream", "group", id="0")
    old.xreadgroup("group", "consumer", {"stream": ">"})
    for at in range(300):
        time = ("TIME", 1_600_000_000_000 + at * 13)
        old.execute_command("XCLAIM", "stream", "group", "consumer", 0, f"{at + 1}-0", *time)
    between(servers["Redis 6.2"], servers["Valkey 9"], copied)
    assert [new.execute_command("PEXPIRETIME", name) for name in names] == [LATER_MS + at * 7 for at in range(300)]

    async def delivered(_: Any, source: Endpoint, target: Endpoint) -> list[int]:
        pieces = [piece async for piece in KINDS["stream"].pieces(target, b"stream")]
        return [int(item[-1]) for piece in pieces for item in piece if item[0] == PENDING]

    times = between(servers["Redis 6.2"], servers["Valkey 9"], delivered)
    late = [time - 1_600_000_000_000 - at * 13 for at, time in enumerate(times)]
    assert len(late) == 300 and max(map(abs, late)) <= 100, "read twice, at about one moment each"


def test_so_are_those_of_many_strings_that_are_read_at_once(servers: dict[str, RedisServer]) -> None:
    old, new = raw(servers["Redis 6.2"]), raw(servers["Valkey 9"])
    old.flushall()
    new.flushall()
    names = [f"key:{at}" for at in range(5000)]
    pipeline = old.pipeline(transaction=False)
    for at, name in enumerate(names):
        pipeline.set(name, at, pxat=LATER_MS + at * 7 if at % 10 else None)
    pipeline.execute()

    async def copied_at_once(_: Any, source: Endpoint, target: Endpoint) -> int:
        bulk: Any = source.server, target.server
        batch = await Batches(bulk[0], source.features, frozenset()).next(b"0", 100_000)
        writer = Writer(bulk[1])
        await writer.restore(batch.wire, batch.commands)
        assert not batch.named and await writer.settled() == []
        return batch.count

    assert between(servers["Redis 6.2"], servers["Valkey 9"], copied_at_once) == len(names)
    pipeline = new.pipeline(transaction=False)
    for name in names:
        pipeline.get(name)
        pipeline.execute_command("PEXPIRETIME", name)
    found = pipeline.execute()
    assert found[::2] == [b"%d" % at for at in range(5000)]
    assert found[1::2] == [LATER_MS + at * 7 if at % 10 else -1 for at in range(5000)]
