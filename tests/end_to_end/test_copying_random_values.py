"""Random values of all types are the same after they were copied by type, whole or in pieces; their digests, too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redisproxy.copying import reading
from redisproxy.copying.batches import Batches
from redisproxy.copying.compare import compare
from redisproxy.copying.comparison import Comparison, Depth, Extent
from redisproxy.copying.endpoint import Endpoint
from redisproxy.copying.kinds import KINDS
from redisproxy.copying.value import Outcome, copy_keys
from redisproxy.copying.writer import Writer
from tests.end_to_end.copying import LATER_MS, PROGRAMS, WITH_FIELD_EXPIRY, between, contents, raw
from tests.end_to_end.harness import RedisServer

pytestmark = pytest.mark.one_twin

PAIRS = [("Redis 8", "Valkey 9"), ("Valkey 9", "Redis 6.2"), ("Redis 6.2", "Redis 7.0"), ("Redis 7.0", "Redis 8")]

numbers = st.integers(-(2**63), 2**63 - 1).map(lambda number: b"%d" % number)
blobs = st.binary(max_size=12) | st.binary(min_size=60, max_size=200) | numbers
scores = st.floats(allow_nan=False).map(repr)
lives = st.none() | st.integers(LATER_MS, LATER_MS + 10**9)
ids = st.tuples(st.integers(1, 5), st.integers(0, 20)).map(lambda parts: "{}-{}".format(*parts))
Command = tuple[Any, ...]
Write = list[Command]


def command(*parts: Any) -> st.SearchStrategy[Command]:
    """A command; C{KEY} in it stands for the key's name."""
    return st.tuples(*(part if isinstance(part, st.SearchStrategy) else st.just(part) for part in parts))


def some(*parts: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """The parts in their order, several times."""
    several = st.lists(st.tuples(*parts), min_size=1, max_size=30)
    return several.map(lambda each: [part for parts in each for part in parts])


def written(kind: str, value: list[Any], life: int | None) -> Write:
    """The commands that write a value."""
    return [(kind, "KEY", *value), *([("PEXPIREAT", "KEY", life)] if life else [])]


simple: st.SearchStrategy[Write] = st.one_of(
    st.builds(written, st.just("SET"), st.tuples(blobs).map(list), lives),
    st.builds(written, st.sampled_from(["RPUSH", "SADD"]), some(blobs), lives),
    st.builds(written, st.just("ZADD"), some(scores, blobs), lives),
    st.builds(written, st.just("HSET"), some(blobs, blobs), lives),
)


@st.composite
def streams(draw: st.DrawFn) -> Write:
    """A stream with groups; commands that a server refuses (an id that is too low) are part of it."""
    names = draw(st.lists(st.sampled_from(["a", "b\x00", "c"]), max_size=3, unique=True))
    writes: Write = draw(st.lists(command("XADD", "KEY", ids, blobs, blobs)))
    writes += [("XGROUP", "CREATE", "KEY", name, draw(st.just("0") | ids), "MKSTREAM") for name in names]
    more = command("XDEL", "KEY", ids) | command("XADD", "KEY", ids, "f", "v") | command("XSETID", "KEY", ids)
    if names:
        who = st.sampled_from(names), st.sampled_from(["one", "two"])
        counts = st.integers(1, 5)
        more |= command("XREADGROUP", "GROUP", *who, "COUNT", counts, "STREAMS", "KEY", ">")
        more |= command("XACK", "KEY", who[0], ids) | command("XCLAIM", "KEY", *who, 0, ids)
        more |= command("XGROUP", "CREATECONSUMER", "KEY", *who)
    return writes + draw(st.lists(more, max_size=12))


def timed(fields: dict[bytes, tuple[bytes, int | None]]) -> Write:
    """A hash with fields that expire."""
    return [
        *(("HSET", "KEY", name, value) for name, (value, _) in fields.items()),
        *(("HPEXPIREAT", "KEY", life, "FIELDS", 1, name) for name, (_, life) in fields.items() if life),
    ]


timed_hashes = st.dictionaries(blobs, st.tuples(blobs, lives), min_size=1, max_size=30).map(timed)
values = st.dictionaries(blobs, simple | streams() | timed_hashes, max_size=6)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, RedisServer]]:
    started = {name: RedisServer(program=program()) for name, program in PROGRAMS.items()}
    yield started
    for each in started.values():
        each.stop()


def write(client: Any, keys: dict[bytes, Write]) -> None:
    pipeline = client.pipeline(transaction=False)
    for key, commands in keys.items():
        for each in commands:
            pipeline.execute_command(*(key if part == "KEY" else part for part in each))
    pipeline.execute(raise_on_error=False)


async def copied(reactor: Any, source: Endpoint, target: Endpoint) -> tuple[set[Outcome], Comparison]:
    results = await copy_keys(source, target, await source.ask("KEYS", "*"))
    return {each.outcome for each in results}, await compare(source, target, Extent(Depth.ALL), reactor)


async def copied_by_script(reactor: Any, source: Endpoint, target: Endpoint) -> tuple[set[Outcome], Comparison]:
    """What the script makes no commands for, it names, and nothing is both."""
    servers: Any = source.server, target.server
    writer, batches = Writer(servers[1]), Batches(servers[0], source.features, frozenset(KINDS))
    batch, named, count = await batches.next(b"0", 10), [], 0
    while True:
        await writer.restore(batch.wire, batch.commands)
        named += batch.named
        count += batch.count
        if batch.cursor == b"0":
            break
        batch = await batches.next(batch.cursor, 10)
    assert await writer.settled() == []
    assert count + len(set(named)) == await source.ask("DBSIZE")
    results = await copy_keys(source, target, list(dict.fromkeys(named)))
    assert {each.kind for each in results} <= {"stream", "hash"}
    return {each.outcome for each in results}, await compare(source, target, Extent(Depth.ALL), reactor)


@pytest.mark.parametrize("way", ["whole", "pieces", "script"])
@pytest.mark.parametrize(("old_name", "new_name"), PAIRS)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(keys=values, before=values)
def test_random_values_arrive_as_they_are(
    servers: dict[str, RedisServer],
    monkeypatch: pytest.MonkeyPatch,
    old_name: str,
    new_name: str,
    way: str,
    keys: dict[bytes, Write],
    before: dict[bytes, Write],
) -> None:
    if way == "pieces":
        monkeypatch.setattr(reading, "SMALL_BYTES", -1)
    old, new = raw(servers[old_name]), raw(servers[new_name])
    old.flushall()
    new.flushall()
    write(old, keys)
    write(new, {key: before[other] for key, other in zip(keys, before, strict=False)})
    outcomes, comparison = between(
        servers[old_name], servers[new_name], copied_by_script if way == "script" else copied
    )
    assert outcomes <= {Outcome.COPIED}
    both = {old_name, new_name} <= set(WITH_FIELD_EXPIRY)
    there = contents(new, both)
    assert {key: there[key] for key in old.scan_iter()} == contents(old, both)
    assert [each for each in comparison.differences if each.why != "extra" and each.key is not None] == []
    assert not comparison.unread
