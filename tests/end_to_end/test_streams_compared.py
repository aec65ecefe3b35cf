"""Whether two servers agree on the groups of their streams is told without reading the entries."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from redisproxy.copying.streams import PENDING, differing
from tests.end_to_end.copying import PROGRAMS, between, raw
from tests.end_to_end.harness import RedisServer

pytestmark = pytest.mark.one_twin

PAIRS = [("Redis 7.0", "Redis 7.0"), ("Redis 6.2", "Redis 7.0"), ("Redis 8", "Valkey 9")]


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, tuple[RedisServer, RedisServer]]]:
    with contextlib.ExitStack() as stack:
        yield {
            name: (
                stack.enter_context(RedisServer(program=program())),
                stack.enter_context(RedisServer(program=program())),
            )
            for name, program in PROGRAMS.items()
        }


@pytest.fixture(params=PAIRS, ids=" to ".join)
def pair(request: pytest.FixtureRequest, servers: dict[str, tuple[RedisServer, RedisServer]]) -> Any:
    old, new = request.param
    pair = servers[old][0], servers[new][1]
    for server in pair:
        client = raw(server)
        client.flushall()
        for stream in ("s", "t"):
            _fill(client, stream)
    return pair


def _fill(client: Any, stream: str) -> None:
    for at in range(1, 6):
        client.xadd(stream, {"f": "v"}, f"{at}-1")
    client.xgroup_create(stream, "g", 0)
    client.xgroup_create(stream, "h", "2-1")
    for consumer, count in (("a", 2), ("b", 1)):
        client.xreadgroup("g", consumer, {stream: ">"}, count=count)


def found(pair: tuple[RedisServer, RedisServer]) -> list[bytes]:
    async def work(reactor: Any, source: Any, target: Any) -> list[bytes]:
        return await differing(source, target, [b"s", b"t", b"gone", b"string"])

    for server in pair:
        server.client().set("string", 1)
    names: list[bytes] = between(*pair, work)
    return names


def told(server: RedisServer, command: str) -> None:
    """Have the server carry out a command, whatever it answers."""
    client = raw(server)
    client.response_callbacks.clear()
    client.execute_command(*command.split())


CHANGES = [
    "XACK s g 1-1",
    "XCLAIM s g b 0 1-1",
    "XCLAIM s g a 0 1-1",
    "XAUTOCLAIM s g c 0 0",
    "XREADGROUP GROUP g a COUNT 1 STREAMS s >",
    "XREADGROUP GROUP g a NOACK COUNT 1 STREAMS s >",
    "XREADGROUP GROUP g a STREAMS s 0",
    "XGROUP CREATE s new 0",
    "XGROUP CREATECONSUMER s g c",
    "XGROUP DELCONSUMER s g b",
    "XGROUP DESTROY s h",
    "XGROUP SETID s h 3-1",
    "XSETID s 9-9",
    "XDEL s 5-1",
    "DEL s",
]


@pytest.mark.parametrize("side", [0, 1], ids=["at the old", "at the new"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_a_group_is_found(pair: tuple[RedisServer, RedisServer], change: str, side: int) -> None:
    assert found(pair) == []
    told(pair[side], change)
    assert found(pair) == [b"s"]


def test_times_of_delivery_are_not_compared(pair: tuple[RedisServer, RedisServer]) -> None:
    told(pair[0], "XCLAIM s g a 0 1-1 IDLE 100000 RETRYCOUNT 1 JUSTID")
    assert found(pair) == []


def test_of_many_pending_entries_the_summary_is_compared(pair: tuple[RedisServer, RedisServer]) -> None:
    for server in pair:
        client = raw(server)
        with client.pipeline() as pipe:
            for at in range(PENDING + 5):
                pipe.xadd("many", {"f": "v"}, f"{at + 1}-1")
            pipe.execute()
        client.xgroup_create("many", "g", 0)
        client.xreadgroup("g", "a", {"many": ">"})

    async def work(reactor: Any, source: Any, target: Any) -> list[bytes]:
        return await differing(source, target, [b"many"])

    assert between(*pair, work) == []
    told(pair[0], "XCLAIM many g a 0 5-1 RETRYCOUNT 7 JUSTID")
    assert between(*pair, work) == [], "how often an entry was delivered is not in the summary"
    told(pair[0], "XCLAIM many g b 0 5-1")
    assert between(*pair, work) == [b"many"]
