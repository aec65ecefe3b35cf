"""What the data does not carry, between real servers: compared, taken along, undone, refused; no password in sight."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from tests.end_to_end.harness import Load, Proxy, RedisServer, wait_until
from tests.end_to_end.test_versions import contents, fill, start

pytestmark = pytest.mark.one_twin

PASSWORD = "only-the-application-knows"
HASH = sha256(PASSWORD.encode()).hexdigest()
PAIRS = [("Redis 6.2", "Redis 7.0"), ("Redis 6.2", "Valkey 9"), ("Redis 7.0", "Redis 8"), ("Valkey 9", "Valkey 9")]


def furnish(server: RedisServer) -> None:
    """What applications rely on, and no data has in it."""
    client = server.client()
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("notify-keyspace-events", "Kgx")
    client.config_set("hash-max-ziplist-entries", 77)
    client.config_set("client-output-buffer-limit", "pubsub 1048576 0 0")
    rules = ["on", f"#{HASH}", "~app:*", "resetchannels", "&app", "+@all", "-@dangerous"]
    client.execute_command("ACL", "SETUSER", "app", *rules)


def rows(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{row['kind']} {row['name']}": row for row in report["differences"]}


def is_secret(proxy: Proxy, *texts: object) -> bool:
    seen = "".join(map(str, (proxy.log, proxy.info(), proxy.get("/")[1], *texts)))
    return HASH not in seen and PASSWORD not in seen


def program(proxy: Proxy, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "redisproxy.cli", "switchover", "-c", str(proxy.path), *options]
    environment = {**os.environ, "COLUMNS": "170"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


@pytest.fixture(scope="module", params=PAIRS, ids=["-".join(pair) for pair in PAIRS])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[RedisServer, RedisServer]]:
    old_name, new_name = request.param
    with start(old_name) as old, start(new_name) as new:
        yield old, new


def test_differences_are_told_refused_or_taken_along(pair: tuple[RedisServer, RedisServer]) -> None:
    old, new = pair
    furnish(old)
    with Proxy(old.uplink) as proxy:
        proxy.write(uplink=new.uplink)
        found = rows(proxy.do("switchover", dry_run="1")["report"])
        policy = found["setting maxmemory-policy"]
        assert (policy["old"], policy["new"], policy["carried"]) == ("allkeys-lru", "noeviction", False)
        assert {"setting notify-keyspace-events", "setting hash-max-listpack-entries", "user app"} <= found.keys()
        assert "setting client-output-buffer-limit" in found and not any("not compared" in name for name in found)

        proxy.write(switchover={"strict": True})
        status, answer = proxy.admin("switchover")
        assert status == 400 and "clients can feel (switchover.strict): setting maxmemory-policy" in answer["error"]
        assert new.client().role()[0] == "master" and "app" not in new.client().acl_users()

        proxy.write(switchover={"carry": ["acl", "config"]})
        with Load(proxy, 5) as load:
            report = proxy.do("switchover")["report"]
        load.check(new)
        assert rows(report)["user app"]["carried"] and "user app" in report["carried"]
        assert "taken along" in " ".join(report["warnings"])
        client = new.client()
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
        assert client.config_get("hash-max-ziplist-entries") == {"hash-max-ziplist-entries": "77"}
        app = new.client(username="app", password=PASSWORD)
        assert app.set("app:1", 1) and app.publish("app", "x") == 0
        with pytest.raises(NoPermissionError):
            app.get("other")
        with pytest.raises(NoPermissionError):
            app.keys("*")
        assert is_secret(proxy, report, answer)


def test_what_was_taken_along_is_undone_with_the_switchover(server: RedisServer, other: RedisServer) -> None:
    furnish(server)
    was_there = other.client()
    was_there.execute_command("ACL", "SETUSER", "app", "on", ">before", "~own:*", "+get")
    before = was_there.config_get(), was_there.acl_list()
    with Proxy(server.uplink) as proxy:
        proxy.write(uplink=other.uplink, switchover={"carry": ["acl", "config"], "pause_budget_ms": 300})
        slow = proxy.connect()
        slow.sendall(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$1000000\r\n" + b"x" * 400000)
        wait_until(lambda: proxy.info()["in_flight"] == 1, "half of a large command is in flight")
        status, answer = proxy.admin("switchover")
        slow.close()
        assert status == 504 and answer["report"]["result"] == "rolled_back", answer
        assert "carry" in [step["name"] for step in answer["report"]["steps"]]
        after = was_there.config_get()
        assert {**after, "slaveof": "", "replicaof": ""} == before[0]
        assert [line.replace("sanitize-payload ", "") for line in map(str, was_there.acl_list())] == before[1], (
            "RESET adds that"
        )
        assert answer["report"]["carried"] == [] and is_secret(proxy, answer)


def test_a_user_that_the_new_server_can_not_have_is_refused_before_anything_has_changed() -> None:
    with start("Redis 8") as old, start("Valkey 9") as new, Proxy(old.uplink) as proxy:
        new.client().config_set("rdb-version-check", "relaxed")
        old.client().execute_command("ACL", "SETUSER", "app", "on", f"#{HASH}", "~*", "+get", "+vadd")
        proxy.write(uplink=new.uplink, switchover={"carry": ["acl"]})
        status, answer = proxy.admin("switchover")
        assert status == 400 and "the ACL user app can't be taken along" in answer["error"], answer
        assert new.client().acl_users() == ["default"] and new.client().role()[0] == "master"
        assert "vadd" in rows(answer["report"])["module vectorset"]["effect"] or "commands" in str(answer["report"])
        assert is_secret(proxy, answer)


def test_redis_8_goes_to_valkey_9_by_replication_where_it_is_told_to_try() -> None:
    with start("Redis 8") as old, start("Valkey 9") as new, Proxy(old.uplink) as proxy:
        new.client().config_set("rdb-version-check", "relaxed")
        fill(proxy.client())
        before = contents(old)
        proxy.write(uplink=new.uplink)
        with Load(proxy, 10) as load:
            report = proxy.do("switchover")["report"]
        load.check(new)
        assert contents(new) == before and "as far as both know it" in " ".join(report["warnings"])
        assert "vadd" in str(rows(report)), "what Valkey lacks is told"


def test_a_write_that_valkey_does_not_know_undoes_the_switchover() -> None:
    """Valkey goes on replicating after a command that it does not know, without what that wrote."""
    with start("Redis 8") as old, start("Valkey 9") as new, Proxy(old.uplink) as proxy:
        new.client().config_set("rdb-version-check", "relaxed")
        new.follow(old)
        old.client().execute_command("VADD", "vectors", "VALUES", 3, 1, 2, 3, "element")
        wait_until(lambda: new.client().info("stats")["unexpected_error_replies"], "Valkey has refused it")
        proxy.write(uplink=new.uplink)
        status, answer = proxy.admin("switchover")
        assert status == 400 and "may lack" in answer["error"], answer
        new.promote()
        new.client().flushall()
        old.client().delete("vectors")
        slow = proxy.connect()
        slow.sendall(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$1000000\r\n" + b"x" * 400000)
        wait_until(lambda: proxy.info()["in_flight"] == 1, "the drain has to wait")
        proxy.write(switchover={"pause_budget_ms": 10000})
        answers: list[Any] = []
        moving = threading.Thread(target=lambda: answers.append(proxy.admin("switchover")))
        moving.start()
        wait_until(lambda: (proxy.info()["switchover"]["current"] or {}).get("step") == "drain", "it drains")
        old.client().execute_command("VADD", "vectors", "VALUES", 3, 1, 2, 3, "another")
        slow.sendall(b"x" * 600000 + b"\r\n")
        moving.join(30)
        slow.close()
        ((status, answer),) = answers
        assert status == 409 and "lacks what they wrote" in answer["error"], answer
        assert new.client().role()[0] == "master", "it is let go, and has to be synchronised anew"
        assert proxy.client().set("a", 1) and old.client().get("a") == "1"


def test_who_may_not_ask_is_told_what_was_not_compared(server: RedisServer, other: RedisServer) -> None:
    furnish(server)
    for each in (server, other):
        each.client().execute_command("ACL", "SETUSER", "managed", "on", ">m", "~*", "&*", "+@all", "-config", "-acl")
    with Proxy({**server.uplink, "user": "managed", "pass": "m"}) as proxy:
        proxy.write(uplink={**other.uplink, "user": "managed", "pass": "m"}, switchover={"mode": "external"})
        found = rows(proxy.do("switchover", dry_run="1")["report"])
        assert found["not compared ACL users and their rules"] and "setting notify-keyspace-events" not in found
        assert found["setting maxmemory-policy"]["old"] == "allkeys-lru", "INFO tells that"
        proxy.write(switchover={"mode": "external", "strict": True})
        assert proxy.admin("switchover")[0] == 400


def test_the_terminal_and_the_page_show_a_table(server: RedisServer, other: RedisServer, proxy: Proxy) -> None:
    furnish(server)
    server.client().execute_command("ACL", "SETUSER", "[red]&<b>", "on", "nopass", "~*", "+@all")
    proxy.write(uplink=other.uplink)
    shown = program(proxy, "--dry-run")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert "nothing stands in the way" in lines[0] and max(map(len, lines)) <= 100
    assert "user [red]&<b>" in shown.stdout
    head = next(line for line in lines if line.startswith("what "))
    row = next(line for line in lines if line.startswith("maxmemory-policy"))
    assert row.index("allkeys-lru") == head.index("old server") and row.index("noeviction") == head.index("new server")
    assert '"kind": "setting"' in program(proxy, "--dry-run", "--json").stdout
    proxy.write(switchover={"strict": True})
    refused = program(proxy)
    assert refused.returncode == 1 and "maxmemory-policy" in refused.stderr and max(map(len, lines)) <= 100


def test_a_switchover_that_copies_takes_along_the_same() -> None:
    with start("Redis 8") as old, start("Redis 7.0") as new, Proxy(old.uplink) as proxy:
        furnish(old)
        proxy.client().set("a", 1)
        proxy.write(uplink=new.uplink, switchover={"mode": "copy", "carry": ["acl", "config"]})
        report = proxy.do("switchover")["report"]
        assert rows(report)["user app"]["carried"] and "carry" in [step["name"] for step in report["steps"]]
        assert new.client(username="app", password=PASSWORD).set("app:1", 1) and new.client().get("a") == "1"
        assert new.client().config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
        assert is_secret(proxy, report)
