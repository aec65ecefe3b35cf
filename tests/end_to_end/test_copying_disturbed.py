"""What is copied changes or vanishes, or a connection is lost, at every single step: nothing is ever half there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, ensureDeferred

from redisproxy.copying import reading
from redisproxy.copying.endpoint import PRIVATE, Command, Endpoint
from redisproxy.copying.value import Copied, Outcome, copy_key
from redisproxy.net.errors import UplinkError
from tests.end_to_end.copying import LATER_MS, PROGRAMS, between, content, raw
from tests.end_to_end.harness import RedisServer

pytestmark = pytest.mark.one_twin

KEY = b"key"
STEPS = 40


@dataclass
class Disturbed:
    """A connection on which something happens before one of the questions.

    @ivar at: before which one. @ivar asked: how many there were. @ivar largest: the most bytes in one of them.
    """

    server: Any
    at: int
    happens: Callable[[], Any]
    asked: int = 0
    largest: int = 0
    name: str = "disturbed"

    async def ask_all(self, *commands: Command) -> list[Any]:
        if self.asked == self.at:
            self.happens()
        self.asked += 1
        self.largest = max(self.largest, sum(len(str(part)) for command in commands for part in command))
        replies: list[Any] = await self.server.ask_all(*commands)
        return replies


Fill = Callable[[Any], Any]
VALUES: dict[str, Fill] = {
    "string": lambda client: client.set(KEY, b"0123456789" * 250_000),
    "list": lambda client: client.rpush(KEY, *range(500)),
    "set": lambda client: client.sadd(KEY, *(f"member:{at}" for at in range(600))),
    "zset": lambda client: client.zadd(KEY, {f"member:{at}": at for at in range(300)}),
    "hash": lambda client: client.hset(KEY, mapping={f"field:{at}": "x" * 70 for at in range(600)}),
    "stream": lambda client: stream(client),
}
CHANGES: dict[str, Fill] = {
    "gone": lambda client: client.delete(KEY),
    "another type": lambda client: (client.delete(KEY), client.set(KEY, "x")),
    "another type, too": lambda client: (client.delete(KEY), client.rpush(KEY, "x")),
    "shorter": lambda client: (client.delete(KEY), client.hset(KEY, "x", 1)),
}


def stream(client: Any) -> None:
    pipeline = client.pipeline()
    for at in range(1, 100):
        pipeline.xadd(KEY, {"a": at}, id=f"{at}-0")
    pipeline.xgroup_create(KEY, "group", id="0")
    pipeline.execute()
    client.xreadgroup("group", "consumer", {KEY: ">"}, count=70)
    client.xdel(KEY, "7-0")


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[RedisServer, RedisServer]]:
    with RedisServer(program=PROGRAMS["Valkey 9"]()) as old, RedisServer(program=PROGRAMS["Redis 8"]()) as new:
        yield old, new


@pytest.fixture(params=["whole", "pieces"])
def sized(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pieces":
        monkeypatch.setattr(reading, "SMALL_BYTES", -1)


def prepare(old: Any, new: Any, fill: Fill) -> None:
    for client in (old, new):
        client.flushall()
    fill(old)
    old.pexpireat(KEY, LATER_MS)
    new.set(KEY, "before")


def private_keys(client: Any) -> list[bytes]:
    return list(client.scan_iter(match=PRIVATE + b"*"))


@pytest.mark.usefixtures("sized")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", VALUES)
def test_a_key_that_changes_while_it_is_read_is_copied_whole_or_not(
    pair: tuple[RedisServer, RedisServer], kind: str, change: str
) -> None:
    """With its value from before, or from after the change; C{CHANGED}, and the target keeps what it had; or absent."""
    old, new = map(raw, pair)

    async def work(_: Any, source: Endpoint, target: Endpoint) -> None:
        for at in range(STEPS):
            prepare(old, new, VALUES[kind])
            first = content(old, KEY, True)
            disturbed = Disturbed(source.server, at, lambda: CHANGES[change](old))
            result = await copy_key(replace(source, server=disturbed), target, KEY)
            check(result, first)
            assert private_keys(new) == []
            if disturbed.asked <= at:
                return
        raise AssertionError("it takes more steps than this test goes")

    def check(result: Copied, first: Any) -> None:
        there = content(new, KEY, True) if new.exists(KEY) else None
        if result.outcome is Outcome.COPIED:
            now = content(old, KEY, True) if old.exists(KEY) else None
            if now is None or now[0] != first[0]:  # else it is mixed, and whoever watches the key copies it again
                assert there in (first, now)
        elif result.outcome is Outcome.CHANGED:
            assert new.get(KEY) == b"before"
        else:
            assert result.outcome is Outcome.ABSENT and there is None and change == "gone"

    between(*pair, work)


@pytest.mark.usefixtures("sized")
@pytest.mark.parametrize("which", ["source", "target"])
@pytest.mark.parametrize("kind", VALUES)
def test_a_connection_that_is_lost_leaves_a_whole_value_and_nothing_for_ever(
    pair: tuple[RedisServer, RedisServer], kind: str, which: str
) -> None:
    old, new = map(raw, pair)

    def lose_at(at: int) -> bool:
        """Copy, and lose a connection; whether it came to that."""
        prepare(old, new, VALUES[kind])
        asked = []

        async def work(_: Any, source: Endpoint, target: Endpoint) -> None:
            lost = source if which == "source" else target
            disturbed = Disturbed(lost.server, at, lost.server.close)  # type: ignore[attr-defined]
            ends = {"source": source, "target": target, which: replace(lost, server=disturbed)}
            try:
                await copy_key(ends["source"], ends["target"], KEY)
            except UplinkError:
                asked.append(at)

        between(*pair, work)
        there = content(new, KEY, True)
        assert there in (content(old, KEY, True), (b"string", False, b"before"))
        assert all(0 < new.ttl(each) <= 600 for each in private_keys(new))
        return bool(asked)

    assert lose_at(0)
    assert not all(lose_at(at) for at in range(1, STEPS))


@pytest.mark.usefixtures("sized")
def test_a_copy_that_is_cancelled_leaves_a_whole_value(pair: tuple[RedisServer, RedisServer]) -> None:
    old, new = map(raw, pair)

    def cancelled_at(at: int) -> bool:
        """Copy, and cancel it before a question to the target; whether it came to that."""
        prepare(old, new, VALUES["list"])

        async def work(reactor: Any, source: Endpoint, target: Endpoint) -> bool:
            disturbed = Disturbed(target.server, at, lambda: reactor.callLater(0, lambda: copying.cancel()))
            copying = ensureDeferred(copy_key(source, replace(target, server=disturbed), KEY))
            try:
                await copying
            except (CancelledError, UplinkError):
                return True
            return False

        cancelled = between(*pair, work)
        assert content(new, KEY, True) in (content(old, KEY, True), (b"string", False, b"before"))
        return bool(cancelled)

    assert cancelled_at(0)
    assert not all(cancelled_at(at) for at in range(1, STEPS))


def test_large_values_are_never_in_memory_as_a_whole(pair: tuple[RedisServer, RedisServer]) -> None:
    old, new = map(raw, pair)
    old.flushall()
    new.flushall()
    old.set("string", b"x" * 40_000_000)
    for at in range(300):
        old.rpush("list", b"%d" % at * 20_000)
        old.hset("hash", at, b"y" * 60_000)

    async def work(_: Any, source: Endpoint, target: Endpoint) -> int:
        disturbed = Disturbed(target.server, -1, lambda: None)
        for key in (b"string", b"list", b"hash"):
            result = await copy_key(source, replace(target, server=disturbed), key)
            assert result.outcome is Outcome.COPIED
        return disturbed.largest

    assert between(*pair, work) < 8_000_000
    for key in (b"string", b"list", b"hash"):
        assert content(new, key, False) == content(old, key, False)
