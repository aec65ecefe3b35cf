"""Two real servers of any versions for tests of copying and comparing, and values of every type to put there."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.epollreactor import EPollReactor

from redisproxy.config import UplinkSettings
from redisproxy.copying.bulk_connection import open_bulk
from redisproxy.copying.endpoint import Endpoint, endpoint
from redisproxy.net.twisted_network import TwistedNetwork
from tests.end_to_end.harness import RedisServer, redis_6, redis_8, redis_program, valkey_9

PROGRAMS: dict[str, Callable[[], str]] = {
    "Redis 6.2": redis_6,
    "Redis 7.0": redis_program,
    "Redis 8": redis_8,
    "Valkey 9": valkey_9,
}
WITH_FIELD_EXPIRY = ("Redis 8", "Valkey 9")
Work = Callable[[Any, Endpoint, Endpoint], Coroutine[Deferred[Any], Any, Any]]
LIMIT_S = 90.0
LATER_MS = 4_000_000_000_000
"""A time of expiry that no test lives to see (in 2096)."""


def run(work: Callable[[Any], Coroutine[Deferred[Any], Any, Any]]) -> Any:
    """Run a coroutine to its end in a reactor of its own; what it returns."""
    reactor: Any = EPollReactor()
    results: list[Any] = []
    done = ensureDeferred(work(reactor)).addTimeout(LIMIT_S, reactor)
    done.addBoth(results.append).addBoth(lambda _: reactor.callWhenRunning(reactor.stop))
    reactor.run(installSignalHandlers=False)
    if hasattr(results[0], "raiseException"):
        results[0].raiseException()
    return results[0]


async def opened(reactor: Any, server: RedisServer, db: int = 0) -> Endpoint:
    """A connection to a server."""
    uplink = UplinkSettings(**server.uplink)
    made = await endpoint(await open_bulk(uplink, f"port {server.port}", TwistedNetwork(reactor), reactor, 30))
    await made.ask("SELECT", db)
    return made


def between(old: RedisServer, new: RedisServer, work: Work) -> Any:
    """Run a coroutine with the reactor and connections to two servers; what it returns."""

    async def main(reactor: Any) -> Any:
        source, target = await opened(reactor, old), await opened(reactor, new)
        try:
            return await work(reactor, source, target)
        finally:
            for each in (source, target):
                each.server.close()  # type: ignore[attr-defined]

    return run(main)


def raw(server: RedisServer, **options: Any) -> Any:
    """A client that decodes nothing."""
    return server.client(decode_responses=False, **options)


def fill(client: Any, field_expiry: bool) -> None:
    """Write values of every type: small, large, odd."""
    fill_simple(client)
    _fill_sorted(client)
    _fill_streams(client)
    if field_expiry:
        client.hset("hash:timed", mapping={f"field:{at}": at for at in range(5)} | {"stays": "1"})
        for at in range(5):
            client.execute_command("HPEXPIREAT", "hash:timed", LATER_MS + at // 2, "FIELDS", 1, f"field:{at}")
        client.hset("hash:timed:large", mapping={f"field:{at}": "x" * 70 for at in range(1500)})
        client.execute_command(
            "HPEXPIREAT", "hash:timed:large", LATER_MS, "FIELDS", 700, *(f"field:{at}" for at in range(700))
        )


def fill_simple(client: Any) -> None:
    """Write all but sorted sets and streams."""
    client.set(b"bin\x00\r\n\xff", bytes(range(256)))
    client.set("empty", "")
    client.set("number", -17)
    client.set("expires", "x", pxat=LATER_MS + 123)
    client.set("large", b"0123456789abcdef" * 230_000 + b"end")
    client.pfadd("hll", *range(2000))
    client.rpush("list", "", "a", b"\xff\x00", 12, "x" * 100)
    client.rpush("list:large", *(f"{at}:" + "y" * (at % 200) for at in range(1500)))
    client.sadd("set:numbers", *range(-5, 100))
    client.sadd("set", "", b"\r\n", 1)
    client.sadd("set:large", *(f"member:{at}" for at in range(1500)))
    client.hset("hash", mapping={"": "", b"\x00f": b"\xff", "n": 1})
    client.hset("hash:large", mapping={f"field:{at}": "v" * (at % 90) for at in range(1500)})
    client.pexpireat("hash:large", LATER_MS + 77)


def _fill_sorted(client: Any) -> None:
    odd = ["0.1", "1e-310", "-1.7976931348623157e308", "3.0000000000000004", "inf", "-inf", "-0", "9007199254740993"]
    client.execute_command("ZADD", "zset", *(part for at, each in enumerate(odd) for part in (each, f"m{at}")))
    client.zadd("zset:large", {f"member:{at}": at * 0.1 for at in range(1500)})
    client.execute_command("ZADD", "zset:large", *(part for at, each in enumerate(odd) for part in (each, f"m{at}")))
    client.geoadd("geo", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania"))


def _fill_streams(client: Any) -> None:
    client.xgroup_create("stream:empty", "g", id="0", mkstream=True)
    client.xadd("stream:emptied", {"a": 1}, id="5-1")
    client.xdel("stream:emptied", "5-1")
    entries = client.pipeline(transaction=False)
    for at in range(1, 1401):
        entries.execute_command("XADD", "stream", f"{at}-{at % 3}", "field", at, b"\xff", "x" * (at % 50), "field", 2)
    entries.execute()
    client.xgroup_create("stream", "early", id="2-2")
    client.xgroup_create("stream", b"g\x00", id="0")
    client.xgroup_create("stream", "all", id="0")
    client.execute_command("XGROUP", "CREATECONSUMER", "stream", "all", "idle")
    client.xreadgroup(b"g\x00", b"c\xff", {"stream": ">"}, count=30)
    client.xreadgroup("all", "one", {"stream": ">"}, count=1050)
    client.xreadgroup("all", "two", {"stream": ">"}, count=300)
    client.xclaim("stream", "all", "one", 0, ["1050-0", "1051-1"], retrycount=7)
    client.xack("stream", "all", "1-1", "3-0")
    client.xdel("stream", "2-2", "4-1", "1020-0", "1400-2", "50-2")
    client.execute_command("XGROUP", "SETID", "stream", "early", "9-0")


def contents(client: Any, field_expiry: bool = True) -> dict[bytes, Any]:
    """All that clients can read of all keys, but how long ago something was."""
    return {key: content(client, key, field_expiry) for key in client.scan_iter(count=1000)}


def content(client: Any, key: bytes, field_expiry: bool) -> Any:
    kind, life = client.type(key), client.pttl(key)
    reads: dict[bytes, Callable[[], Any]] = {
        b"string": lambda: client.get(key),
        b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: client.smembers(key),
        b"zset": lambda: client.zrange(key, 0, -1, withscores=True),
        b"hash": lambda: _hash(client, key, field_expiry),
        b"stream": lambda: _stream(client, key),
    }
    return kind, life > 0, reads[kind]()


def _hash(client: Any, key: bytes, field_expiry: bool) -> Any:
    values = client.hgetall(key)
    if not field_expiry:
        return values
    times = client.execute_command("HPEXPIRETIME", key, "FIELDS", len(values), *values)
    return values, dict(zip(values, times, strict=True))


def _stream(client: Any, key: bytes) -> Any:
    groups = {}
    for group in client.xinfo_groups(key):
        name = group["name"]
        pending = client.xpending_range(key, name, "-", "+", 10000)
        for each in pending:
            del each["time_since_delivered"]
        consumers = sorted((each["name"], each["pending"]) for each in client.xinfo_consumers(key, name))
        groups[name] = group["last-delivered-id"], pending, consumers
    return client.xrange(key), client.xinfo_stream(key)["last-generated-id"], groups
