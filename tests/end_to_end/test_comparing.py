"""Two servers are compared: every difference that was planted is found and named, and nothing else is."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from redisproxy.copying.compare import compare
from redisproxy.copying.comparison import Comparison, Depth, Extent
from redisproxy.copying.endpoint import Endpoint
from redisproxy.copying.functions import copy_functions
from redisproxy.copying.value import copy_keys
from redisproxy.servers.copy_marker import MARKER
from tests.end_to_end.copying import LATER_MS, PROGRAMS, WITH_FIELD_EXPIRY, between, fill, fill_simple, raw
from tests.end_to_end.harness import RedisServer, free_port, wait_until

pytestmark = pytest.mark.one_twin

OLD, NEW = "Redis 8", "Valkey 9"
LIBRARY = "#!lua name={name}\nredis.register_function('{name}', function() return {value} end)"


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[RedisServer, RedisServer]]:
    with RedisServer(program=PROGRAMS[OLD]()) as old, RedisServer(program=PROGRAMS[NEW]()) as new:
        yield old, new


@pytest.fixture(scope="module")
def filled(pair: tuple[RedisServer, RedisServer]) -> tuple[RedisServer, RedisServer]:
    old, new = pair
    fill_simple(raw(old))
    fill(raw(old, db=3), True)

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


Change = Callable[[Any], Any]
CHANGES: dict[str, tuple[Change, bytes, str, str]] = {
    "a key is gone": (lambda new: new.delete("list"), b"list", "list", "missing"),
    "a large key is gone": (lambda new: new.delete("large"), b"large", "string", "missing"),
    "a key is there only": (lambda new: new.set(b"\xfe", 1), b"\xfe", "string", "extra"),
    "another type": (lambda new: (new.delete("set"), new.set("set", 1)), b"set", "set", "type: string, not set"),
    "a byte": (lambda new: new.setrange("large", 3_000_000, "?"), b"large", "string", "value"),
    "an element": (lambda new: new.lset("list:large", 1100, "?"), b"list:large", "list", "value"),
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
    "an acknowledgement": (lambda new: new.xack("stream", "all", "1050-0"), b"stream", "stream", "value"),
    "a pending entry's owner": (
        lambda new: new.xclaim("stream", "all", "two", 0, ["1050-0"], retrycount=7),
        b"stream",
        "stream",
        "value",
    ),
    "a delivery": (
        lambda new: new.xclaim("stream", "all", "one", 0, ["1050-0"], retrycount=8),
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


@pytest.mark.parametrize("dense", [False, True])
def test_a_count_that_pfcount_has_left_is_no_difference(filled: tuple[RedisServer, RedisServer], dense: bool) -> None:
    """It writes into the value; the server tells nobody, so that a copy has what was there before."""
    here, there = (raw(each, db=3) for each in filled)
    members = range(5000 if dense else 100)
    for each in (here, there):
        each.pfadd("counted", *members)
    try:
        assert here.pfcount("counted") and here.get("counted") != there.get("counted")
        assert compared(filled, Extent(Depth.ALL)).same
        there.pfadd("counted", "another", "and", "more", "of", "them")
        assert [each[1:] for each in found(compared(filled, Extent(Depth.ALL)))] == [(b"counted", "string", "value")]
        for each, value in ((here, b"1"), (there, b"2")):
            each.set("counted", b"HYLL\x02\0\0\0" + value * 8)
        assert not compared(filled, Extent(Depth.ALL)).same, "it only begins like one"
    finally:
        here.delete("counted")
        there.delete("counted")


@pytest.mark.parametrize("depth", Depth)
def test_what_is_the_same_has_no_differences(filled: tuple[RedisServer, RedisServer], depth: Depth) -> None:
    comparison = compared(filled, Extent(depth, sample=20))
    simple, all_types = (raw(filled[0], db=db).dbsize() for db in (0, 3))
    assert comparison.same and comparison.complete and not comparison.unread, comparison
    assert comparison.keys == {0: (simple, simple), 3: (all_types, all_types)}
    if depth is Depth.ALL:
        assert comparison.compared == simple + all_types
    else:
        assert comparison.compared <= 20 and bool(comparison.compared) == (depth is Depth.SAMPLE)


@pytest.mark.parametrize("lasts_ms", [None, 60_000])
def test_the_mark_of_a_copy_is_no_difference(filled: tuple[RedisServer, RedisServer], lasts_ms: int | None) -> None:
    filled[1].client().set(MARKER, "copying from somewhere", px=lasts_ms)
    try:
        comparison = compared(filled, Extent(Depth.ALL))
    finally:
        filled[1].client().delete(MARKER)
    assert comparison.same and comparison.keys[0][0] == comparison.keys[0][1], comparison


def compare_program(*words: str) -> tuple[int, str, str]:
    program = [sys.executable, "-m", "redisproxy.cli", "compare", *words]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def configurations(
    filled: tuple[RedisServer, RedisServer], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("configurations")
    paths = []
    for name, server in zip(("old", "new"), filled, strict=True):
        paths.append(str(folder / f"{name}.json"))
        Path(paths[-1]).write_text(json.dumps({"uplink": server.uplink, "listen": {"addr": ":1"}}))
    return paths[0], paths[1]


def test_the_program_says_that_servers_are_the_same(configurations: tuple[str, str]) -> None:
    here, there = configurations
    code, out, err = compare_program("-c", here, "--with", there)
    assert (code, err) == (0, "") and "no difference was found" in out, (out, err)


def test_the_program_names_what_differs(
    filled: tuple[RedisServer, RedisServer], configurations: tuple[str, str]
) -> None:
    here, there = configurations
    client = raw(filled[1], db=3)
    client.set(b"odd\n[red]\xff", 1)
    try:
        code, out, _ = compare_program("-c", here, "--with", there, "--all")
        json_code, json_out, _ = compare_program("-c", here, "--with", there, "--all", "--json")
    finally:
        client.delete(b"odd\n[red]\xff")
    assert code == json_code == 1
    assert any(line.split() == ["3", "odd\\n[red]\\xff", "string", "extra"] for line in out.splitlines()), out
    answer = json.loads(json_out)
    assert {"db": 3, "key": "odd\\n[red]\\xff", "type": "string", "why": "extra"} in answer["differences"]
    assert not answer["same"] and answer["more"] == 0


def test_the_program_says_why_it_could_not_compare(configurations: tuple[str, str], tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.json"
    nowhere.write_text(json.dumps({"uplink": {"addr": f"127.0.0.1:{free_port()}"}, "listen": {"addr": ":1"}}))
    code, out, err = compare_program("-c", configurations[0], "--with", str(nowhere))
    assert (code, out) == (2, "") and "refused" in err
    assert compare_program("-c", configurations[0], "--with", str(tmp_path / "missing.json"))[0] == 2
    assert compare_program("-c", configurations[0], "--with", configurations[1], "--all", "--counts")[0] == 2


def test_keys_that_expire_meanwhile_are_no_differences(filled: tuple[RedisServer, RedisServer]) -> None:
    """Some are gone on one side only, as where clocks differ; the others expire while they are compared."""
    old, new = (raw(each, db=3) for each in filled)
    commands = old.pipeline(transaction=False)
    for at in range(3000):
        commands.set(f"fleeting:{at}", "x", px=100 + at // 5)
    commands.execute()
    comparison = compared(filled, Extent(Depth.ALL))
    assert [each for each in found(comparison) if each[1] is not None] == []
    wait_until(lambda: old.dbsize() == new.dbsize(), "the expired keys are removed")
    assert compared(filled, Extent(Depth.COUNTS)).same
    assert new.exists("fleeting:1") == 0


def test_keys_that_changed_last_come_first_and_a_limit_of_time_is_kept(
    filled: tuple[RedisServer, RedisServer],
) -> None:
    new = raw(filled[1])
    new.hset("hash", "more", 1)
    try:
        only_first = compared(filled, Extent(Depth.SAMPLE, sample=1, first=[(0, b"hash")]))
        no_time = compared(filled, Extent(Depth.ALL, seconds=0))
    finally:
        new.hdel("hash", "more")
    assert (0, b"hash", "hash", "value") in found(only_first)
    assert no_time.compared == 0 and not no_time.complete and no_time.keys


class Hurried:
    """A clock on which every look takes a tenth of a second."""

    def __init__(self, reactor: Any) -> None:
        self.callLater = reactor.callLater
        self.now = 0.0

    def seconds(self) -> float:
        self.now += 0.1
        return self.now


def test_a_limit_of_time_ends_the_reading_of_a_large_value(filled: tuple[RedisServer, RedisServer]) -> None:
    """What could not be read in time is neither compared nor different."""

    async def work(reactor: Any, source: Endpoint, target: Endpoint) -> Comparison:
        first = [(0, b"number"), (0, b"large"), (0, b"list:large")]
        clock: Any = Hurried(reactor)
        return await compare(source, target, Extent(Depth.SAMPLE, 1, first, seconds=0.5), clock)

    comparison = between(*filled, work)
    assert comparison.same and not comparison.complete and not comparison.unread
    assert comparison.compared == 1


def test_functions_are_copied_and_compared() -> None:
    with RedisServer(program=PROGRAMS["Redis 8"]()) as old, RedisServer(program=PROGRAMS["Redis 7.0"]()) as new:
        for name, value in (("one", 1), ("two", 2)):
            raw(old).function_load(LIBRARY.format(name=name, value=value))
        raw(new).function_load(LIBRARY.format(name="one", value=7))
        raw(new).function_load(LIBRARY.format(name="other", value=7))
        before = compared((old, new), Extent(Depth.COUNTS))

        async def copied(_: Any, source: Endpoint, target: Endpoint) -> Any:
            return await copy_functions(source, target)

        assert between(old, new, copied) == ()
        after = compared((old, new), Extent(Depth.COUNTS))
        assert raw(new).fcall("two", 0) == 2
    whys = {"function library one: code", "function library two: missing", "function library other: extra"}
    assert {each.why for each in before.differences} == whys
    assert after.same


def test_functions_of_a_server_that_does_not_tell_are_no_difference() -> None:
    with RedisServer(program=PROGRAMS["Redis 6.2"]()) as old, RedisServer(program=PROGRAMS["Redis 7.0"]()) as new:
        raw(new).function_load(LIBRARY.format(name="one", value=1))
        assert compared((old, new), Extent(Depth.COUNTS)).same


def test_functions_that_the_new_server_can_not_have_are_named() -> None:
    with RedisServer(program=PROGRAMS["Redis 8"]()) as old, RedisServer(program=PROGRAMS["Redis 6.2"]()) as new:
        raw(old).function_load(LIBRARY.format(name="one", value=1))

        async def copied(_: Any, source: Endpoint, target: Endpoint) -> Any:
            return await copy_functions(source, target)

        assert between(old, new, copied) == ("library one: the new server has no functions",)


@pytest.mark.parametrize("name", ["Redis 7.0", *WITH_FIELD_EXPIRY])
def test_keys_that_have_expired_and_are_counted_still_are_no_difference(name: str) -> None:
    """One that lives and is missing is, even where only numbers are compared."""
    program = PROGRAMS[name]()
    with RedisServer("--enable-debug-command", "yes", program=program) as old, RedisServer(program=program) as new:
        client: Any = old.client()
        client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        for at in range(20):
            client.set(f"short:{at}", "x", px=1)
        if name in WITH_FIELD_EXPIRY:
            client.hset("hash", "field", 1)
            client.execute_command("HPEXPIRE", "hash", 1, "FIELDS", 1, "field")
        for each in (old, new):
            each.client().mset({"a": 1, "b": 2})
            each.client().pexpireat("a", LATER_MS)
        time.sleep(0.01)
        assert client.dbsize() >= 22 and found(compared((old, new), Extent(Depth.COUNTS))) == []
        new.client().delete("a")
        assert found(compared((old, new), Extent(Depth.COUNTS))) == [(0, b"a", "string", "missing")]
