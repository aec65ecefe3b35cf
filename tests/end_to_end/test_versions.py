"""Switchovers between versions of Redis and Valkey: upwards they move everything, downwards they are refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests.end_to_end.harness import (
    Load,
    Proxy,
    RedisServer,
    redis_6,
    redis_8,
    redis_program,
    valkey_9,
    wait_until,
)

pytestmark = pytest.mark.one_twin

PROGRAMS: dict[str, Callable[[], str]] = {
    "Redis 6.2": redis_6,
    "Redis 7.0": redis_program,
    "Redis 8": redis_8,
    "Valkey 9": valkey_9,
}
READS: dict[str, Callable[[redis.Redis, str], Any]] = {
    "string": lambda client, key: client.get(key),
    "list": lambda client, key: client.lrange(key, 0, -1),
    "set": lambda client, key: sorted(client.smembers(key)),
    "zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
    "hash": lambda client, key: client.hgetall(key),
    "stream": lambda client, key: [client.xrange(key), client.xinfo_groups(key)[0]["pending"]],
}


def start(name: str) -> RedisServer:
    return RedisServer(program=PROGRAMS[name]())


def fill(client: redis.Redis) -> None:
    """Write every type, small and large, some with a time to live."""
    many: dict[Any, Any] = {f"member:{number}": number for number in range(600)}
    client.mset({"text": "x" * 100, "number": 17})
    client.set("fleeting", "y", ex=10000)
    client.rpush("list", *range(600))
    client.sadd("numbers", 1, 2, 3)
    client.sadd("set", *many)
    client.zadd("sorted", many)
    client.hset("small", mapping={"a": 1})
    client.hset("large", mapping=many)
    client.xadd("stream", {"a": 1})
    client.xgroup_create("stream", "group", id="0")
    client.xreadgroup("group", "consumer", {"stream": ">"})


def contents(server: RedisServer) -> dict[tuple[int, str], Any]:
    """Read all data of databases 0 and 5, except the counters of the load; of a time to live only that there is one."""
    found = {}
    for db in (0, 5):
        client = server.client(db=db)
        for key in client.scan_iter(count=1000):
            if not key.startswith("counter:"):
                found[db, key] = READS[str(client.type(key))](client, key), client.pttl(key) > 0
    return found


def settings_of(server: RedisServer) -> tuple[Any, ...]:
    """The state that a refused switchover must not have changed."""
    client = server.client()
    info = client.info("replication")
    return client.config_get(), info["role"], info["connected_slaves"], info["master_replid"], contents(server)


@pytest.mark.parametrize(
    ("old_name", "new_name"),
    [
        ("Redis 6.2", "Redis 7.0"),
        ("Redis 6.2", "Valkey 9"),
        ("Redis 7.0", "Redis 8"),
        ("Redis 7.0", "Valkey 9"),
        ("Redis 8", "Redis 8"),
        ("Valkey 9", "Valkey 9"),
    ],
)
def test_an_upgrade_under_load_moves_everything(old_name: str, new_name: str) -> None:
    with start(old_name) as old, start(new_name) as new, Proxy(old.uplink) as proxy:
        fill(old.client())
        fill(old.client(db=5))
        before = contents(old)
        with Load(proxy, 20) as load:
            proxy.write(uplink=new.uplink)
            report = proxy.do("switchover")["report"]
            time.sleep(0.2)
        load.check(new)
        assert contents(new) == before and len(before) == 20
        assert report["versions"][0].startswith(old_name) and report["versions"][1].startswith(new_name)
        assert (
            report["result"] == "done"
            and len(report["warnings"]) == ("6.2" in old_name)
            and report["clients_closed"] == {}
        )
        with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
            old.client().set("a", 1)
        assert (
            proxy.info()["uplink"]["server"]["version"]
            == new.client().info("server")["valkey_version" if "Valkey" in new_name else "redis_version"]
        )
        _back(proxy, old, new, allowed=old_name == new_name)


def _back(proxy: Proxy, old: RedisServer, new: RedisServer, allowed: bool) -> None:
    """The old server has an older part of the data: it may take over again when it can read the newer one's."""
    proxy.client().set("since", 1)
    proxy.write(uplink=old.uplink)
    status, answer = proxy.admin("switchover")
    assert (status, answer["report"]["result"]) == ((200, "done") if allowed else (400, "refused")), answer
    assert proxy.client().get("since") == "1" and proxy.client().set("later", 1)


@pytest.mark.parametrize(
    ("old_name", "new_name", "reason"),
    [
        ("Redis 7.0", "Redis 6.2", "from older to newer versions only"),
        ("Valkey 9", "Redis 7.0", "from older to newer versions only"),
        ("Valkey 9", "Redis 8", "Redis reads the data of Valkey 8 and older"),
        ("Redis 8", "Valkey 9", "Valkey reads the data of Redis 7.2 and older"),
    ],
)
def test_a_downgrade_is_refused_before_anything_has_changed(old_name: str, new_name: str, reason: str) -> None:
    with start(old_name) as old, start(new_name) as new, Proxy(old.uplink) as proxy:
        fill(proxy.client())
        before = settings_of(old), settings_of(new)
        proxy.write(uplink=new.uplink)
        status, answer = proxy.admin("switchover")
        assert status == 400 and answer["report"]["result"] == "refused", answer
        assert f"the new server ({new_name}" in answer["error"] and reason in answer["error"]
        assert [step["name"] for step in answer["report"]["steps"]] == ["preflight"]
        assert (settings_of(old), settings_of(new)) == before
        assert proxy.client().set("a", 1) and proxy.info()["clients"]["closed"] == {}


@pytest.mark.parametrize("name", ["Valkey 9", "Redis 8"])
def test_clients_have_all_they_need_of_another_server(name: str) -> None:
    """Blocking commands, transactions, scripts, subscribers, RESP3 and the proxy's own answers, across a switchover."""
    with start(name) as old, start(name) as new, Proxy(old.uplink, pubsub=True) as proxy:
        client = proxy.client()
        pops: list[Any] = []
        popper = threading.Thread(target=lambda: pops.append(proxy.client().blpop("queue", 0)))
        popper.start()
        reader = threading.Thread(target=lambda: pops.append(proxy.client().xread({"events": "$"}, block=0)))
        reader.start()
        channel = proxy.client().pubsub()
        channel.subscribe("news")
        assert channel.get_message(timeout=5)["type"] == "subscribe"
        script = client.register_script("return redis.call('INCR', KEYS[1])")
        assert script(keys=["n"]) == 1
        watching = client.pipeline()
        watching.watch("n")
        queueing = proxy.connect()
        queued = queueing.makefile("rb")
        queueing.sendall(b"MULTI\r\nINCR n\r\n")
        assert [queued.readline(), queued.readline()] == [b"+OK\r\n", b"+QUEUED\r\n"]
        wait_until(lambda: old.client().info("clients")["blocked_clients"] == 2, "both are blocked")
        proxy.write(uplink=new.uplink)
        report = proxy.do("switchover")["report"]
        assert report["result"] == "done" and report["clients_closed"] == {}, report
        watching.multi()
        watching.incr("n")
        assert watching.execute() == [2]
        queueing.sendall(b"EXEC\r\n")
        assert [queued.readline(), queued.readline()] == [b"*1\r\n", b":3\r\n"]
        queueing.close()
        assert client.evalsha(script.sha, 1, "n") == 4
        client.publish("news", "moved")
        # A pause of 10 ms has sent MIGRATING and MIGRATED before, for which redis-py gives None.
        heard = [channel.get_message(timeout=5 if at == 0 else 1) for at in range(3)]
        assert [message["data"] for message in heard if message is not None] == ["moved"]
        client.rpush("queue", "job")
        client.xadd("events", {"a": 1})
        for each in (popper, reader):
            each.join(10)
        assert ("queue", "job") in [tuple(pop) for pop in pops] and len(pops) == 2
        _answers_parse(proxy, new)


def _answers_parse(proxy: Proxy, server: RedisServer) -> None:
    """Check that redis-py parses INFO, ROLE, HELLO, CLIENT LIST, CONFIG and COMMAND as without the proxy."""
    for protocol in (2, 3):
        through, direct = proxy.client(protocol=protocol), server.client(protocol=protocol)
        assert through.info("server")["run_id"] == direct.info("server")["run_id"]
        assert through.role()[0] == direct.role()[0] == "master"
        assert through.config_get("maxmemory*") == direct.config_get("maxmemory*")
        assert through.command_count() == direct.command_count() > 200
        assert {each["name"] for each in direct.client_list()} >= {"redisproxy"}
        assert through.client_list()[0]["addr"].startswith("127.0.0.1:")
        assert through.wait(0, 10) == 0
        through.hset("h", "a", "1")
        assert through.hgetall("h") == {"a": "1"}
        names = ("server", "version", "proto", "mode", "role")
        greeting = [_greeting(client, protocol) for client in (through, direct)]
        assert [greeting[0][name] for name in names] == [greeting[1][name] for name in names]


def _greeting(client: redis.Redis, protocol: int) -> dict[str, Any]:
    answer = client.execute_command("HELLO", protocol)
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))
