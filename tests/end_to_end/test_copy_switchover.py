"""Switchovers that copy, between real servers of all versions, carried out by a real proxy under load."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.end_to_end.copying import PROGRAMS, WITH_FIELD_EXPIRY, contents, fill, raw
from tests.end_to_end.harness import Load, Proxy, RedisServer, wait_until

pytestmark = pytest.mark.one_twin

COPY = {"mode": "copy"}
PAIRS = [("Redis 8", "Valkey 9"), ("Valkey 9", "Redis 8"), ("Redis 8", "Redis 7.0"), ("Redis 7.0", "Redis 6.2")]
MANAGED = ("~*", "&*", "+@all", "-replicaof", "-slaveof", "-psync", "-sync", "-config", "-debug")
KEYS = 2000
FENCE = "min-replicas-to-write"


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, RedisServer]]:
    started: dict[str, RedisServer] = {}
    with contextlib.ExitStack() as stack:
        for name, program in PROGRAMS.items():
            started[name] = stack.enter_context(RedisServer(program=program()))
        yield started


@pytest.fixture
def emptied(servers: dict[str, RedisServer]) -> dict[str, RedisServer]:
    for each in servers.values():
        each.client().config_set("min-replicas-to-write", 0)
        each.client().flushall()
    return servers


@pytest.fixture
def pair(emptied: dict[str, RedisServer]) -> tuple[RedisServer, RedisServer]:
    return emptied["Redis 7.0"], emptied["Redis 8"]


@pytest.fixture(scope="module")
def shared(servers: dict[str, RedisServer]) -> Iterator[Proxy]:
    with Proxy(servers["Redis 7.0"].uplink, pubsub=True) as running:
        yield running


def use(proxy: Proxy, server: RedisServer, **uplink: Any) -> None:
    """Have the proxy go to `server`, wherever it was."""
    proxy.write(uplink={**server.uplink, **uplink}, switchover=COPY)
    proxy.do("reload")


@pytest.fixture
def proxy(shared: Proxy, pair: tuple[RedisServer, RedisServer]) -> Proxy:
    use(shared, pair[0])
    return shared


def switch(proxy: Proxy, new: RedisServer, **switchover: Any) -> dict[str, Any]:
    """Point the configuration at `new` and have the data copied there; the report."""
    proxy.write(uplink=new.uplink, switchover={**COPY, **switchover})
    report: dict[str, Any] = proxy.do("switchover")["report"]
    return report


def refused(proxy: Proxy, new: RedisServer, **switchover: Any) -> dict[str, Any]:
    """The report of a switchover that does not take place."""
    proxy.write(uplink=new.uplink, switchover={**COPY, **switchover})
    status, answer = proxy.admin("switchover")
    assert status != 200, answer
    report: dict[str, Any] = answer["report"]
    return report


def copier(proxy: Proxy) -> int:
    """The process that copies; 0 if there is none."""
    for each in Path(f"/proc/{proxy.process.pid}/task/{proxy.process.pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            if b"redisproxy-copy" in Path(f"/proc/{each}/cmdline").read_bytes():
                return int(each)
    return 0


def at_step(proxy: Proxy, step: str, act: Callable[[], None]) -> threading.Thread:
    """Do something when a switchover has reached a step."""

    def wait() -> None:
        wait_until(lambda: (proxy.info()["switchover"]["current"] or {}).get("step") == step, f"the step {step}")
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(("old_name", "new_name"), PAIRS)
def test_everything_moves_with_busy_clients(
    emptied: dict[str, RedisServer], shared: Proxy, old_name: str, new_name: str
) -> None:
    old, new = emptied[old_name], emptied[new_name]
    use(shared, old)
    timed = {old_name, new_name} <= set(WITH_FIELD_EXPIRY)
    for db in (0, 3):
        fill(raw(old, db=db), timed)
    wanted = contents(raw(old, db=3), timed)
    with Load(shared, 20) as load:
        total = shared.info()["clients"]["total"]
        report = switch(shared, new, pause_budget_ms=10_000)
        assert shared.info()["clients"]["total"] == total
    load.check(new)
    assert report["result"] == "done" and report["clients_closed"] == {}
    assert report["verified"]["compared"] > 0 and report["verified"]["differences"] == []
    (took_ms,) = [step["ms"] for step in report["steps"] if step["name"] == "copy"]
    assert report["copy"]["seconds"] == round(took_ms / 1000, 1), "what it took, and not what was estimated"
    there = contents(raw(new, db=3), timed)
    assert there == wanted
    assert {key for key in contents(raw(new), timed) if not key.startswith(b"counter:")} == wanted.keys()
    with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
        old.client().set("late", 1)


def test_what_the_new_server_cannot_hold_is_named_before_the_pause(
    emptied: dict[str, RedisServer], shared: Proxy
) -> None:
    old, new = emptied["Redis 8"], emptied["Redis 7.0"]
    use(shared, old)
    old.client().hset("timed", mapping={"f": 1})
    old.client().execute_command("HPEXPIRE", "timed", 10_000_000, "FIELDS", 1, "f")
    report = refused(shared, new)
    assert "hash timed in database 0" in report["error"] and "accept_losses" in report["error"]
    assert report["pause_ms"] == 0 and any("field TTLs" in each for each in report["warnings"])
    assert switch(shared, new, accept_losses=True)["result"] == "done"
    assert new.client().hgetall("timed") == {"f": "1"}


def test_a_dry_run_says_how_it_would_go_and_changes_nothing(
    pair: tuple[RedisServer, RedisServer], proxy: Proxy
) -> None:
    old, new = pair
    old.client().mset({f"key:{at}": at for at in range(KEYS)})
    proxy.write(uplink=new.uplink, switchover=COPY)
    report = proxy.do("switchover", dry_run=1)["report"]
    assert report["result"] == "dry_run" and report["copy"]["keys"] == KEYS and report["copy"]["seconds"] >= 0
    assert new.client().dbsize() == 0 and old.client().dbsize() == KEYS
    assert old.client().set("a", 1) and not copier(proxy)


def test_changes_of_every_kind_meanwhile_arrive(pair: tuple[RedisServer, RedisServer], proxy: Proxy) -> None:
    """Those of clients that bypass the proxy, too."""
    old, new = pair
    clients = [old.client(db=db) for db in range(3)]
    for db, client in enumerate(clients):
        client.mset({f"key:{at}": f"{db}" for at in range(KEYS)})
    stop, rounds = threading.Event(), [0]

    def change() -> None:
        with contextlib.suppress(redis.ResponseError):  # the fence
            while not stop.is_set():
                at = rounds[0]
                clients[0].rename(f"key:{at}", f"renamed:{at}")
                clients[1].move(f"key:{at}", 2) if at % 2 else clients[1].delete(f"key:{at}")
                clients[1].psetex(f"short:{at}", 30, "x")
                clients[2].eval("redis.call('SET', 'undeclared:' .. ARGV[1], ARGV[1])", 0, at)
                clients[2].copy(f"key:{at}", f"copy:{at}", destination_db="0")
                clients[0].rpush("list", at)
                rounds[0] = at + 1

    thread = threading.Thread(target=change, daemon=True)
    thread.start()
    try:
        report = switch(proxy, new)
    finally:
        stop.set()
        thread.join(30)
    assert report["result"] == "done" and rounds[0] > 0
    time.sleep(0.1)
    for db in range(3):
        assert contents(raw(new, db=db), False) == contents(raw(old, db=db), False)


def test_emptied_databases_are_empty_at_the_new_server(pair: tuple[RedisServer, RedisServer], proxy: Proxy) -> None:
    old, new = pair
    old.client().mset({f"key:{at}": at for at in range(KEYS)})
    old.client(db=1).mset({f"key:{at}": at for at in range(KEYS)})

    def empty() -> None:
        old.client(db=1).flushdb()
        old.client(db=1).set("after", 1)
        old.client().flushdb()

    acting = at_step(proxy, "connect", empty)
    proxy.client().set("busy", 1)
    switch(proxy, new)
    acting.join(30)
    assert contents(raw(new), False) == contents(raw(old), False)
    assert contents(raw(new, db=1), False) == contents(raw(old, db=1), False)


def test_a_new_server_with_keys_is_refused_unless_they_may_go(
    pair: tuple[RedisServer, RedisServer], proxy: Proxy
) -> None:
    old, new = pair
    old.client().set("a", "old")
    new.client().mset({"a": "new", "b": "new"})
    assert "replace_data" in refused(proxy, new)["error"]
    assert new.client().dbsize() == 2
    assert switch(proxy, new, replace_data=True)["result"] == "done"
    assert new.client().get("a") == "old" and new.client().dbsize() == 1


def test_a_key_that_only_the_new_server_has_undoes_the_switchover(
    pair: tuple[RedisServer, RedisServer], proxy: Proxy
) -> None:
    old, new = pair
    old.client().set("a", 1)
    acting = at_step(proxy, "copy", lambda: None)
    stop = threading.Event()

    def intrude() -> None:
        while not stop.is_set():
            with contextlib.suppress(redis.RedisError):
                new.client().set("strange", 1)
            time.sleep(0.005)

    thread = threading.Thread(target=intrude, daemon=True)
    new.client().set("__redisproxy:copy", f"copying 127.0.0.1:{old.port}")
    thread.start()
    try:
        report = refused(proxy, new)
    finally:
        stop.set()
        thread.join(10)
        acting.join(0)
    assert report["result"] == "rolled_back" and "differs" in report["error"], report
    assert proxy.client().set("a", 2) and old.client().get("a") == "2"
    new.client().delete("strange")
    assert switch(proxy, new)["result"] == "done"


def test_the_process_that_copies_may_be_killed_at_any_time(pair: tuple[RedisServer, RedisServer], proxy: Proxy) -> None:
    old, new = pair
    old.client().mset({f"key:{at}": at for at in range(KEYS)})
    with Load(proxy, 10) as load:
        for wait_s in (0.0, 0.05, 0.2):
            proxy.write(uplink=new.uplink, switchover=COPY)
            answers: list[Any] = []
            asking = threading.Thread(target=lambda: answers.append(proxy.admin("switchover")), daemon=True)  # noqa: B023
            asking.start()
            wait_until(lambda: copier(proxy), "a process copies")
            time.sleep(wait_s)
            with contextlib.suppress(ProcessLookupError):
                os.kill(copier(proxy) or 1 << 30, signal.SIGKILL)
            asking.join(30)
            status, answer = answers[0]
            if status == 200:  # it was killed too late
                break
            assert "signal 9" in answer["report"]["error"], answer
            assert answer["report"]["result"] == "rolled_back"
            assert "seconds" not in answer["report"].get("copy", {}), "an estimate, which nothing has come of"
            if new.client().exists("__redisproxy:copy"):
                status, answer = proxy.admin("reload")
                assert status == 400 and "holds an unfinished copy" in answer["error"], answer
        else:
            assert switch(proxy, new)["result"] == "done"
    load.check(new)
    assert new.client().dbsize() == KEYS + 10


def test_a_feed_that_is_lost_means_beginning_anew(pair: tuple[RedisServer, RedisServer], proxy: Proxy) -> None:
    old, new = pair
    old.client().mset({f"key:{at}": at for at in range(KEYS)})
    killed = [0]
    stop = threading.Event()

    def kill() -> None:
        client = old.client()
        while not stop.is_set() and killed[0] < 3:
            for each in client.client_list():
                if each["resp"] == "3" and "t" in each["flags"]:
                    with contextlib.suppress(redis.ResponseError):
                        client.client_kill_filter(_id=each["id"])
                        killed[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=kill, daemon=True)
    with Load(proxy, 10) as load:
        thread.start()
        while True:
            proxy.write(uplink=new.uplink, switchover=COPY)
            status, answer = proxy.admin("switchover")
            if status == 200:
                break
            assert answer["report"]["result"] in ("rolled_back", "refused"), answer
        stop.set()
        thread.join(10)
    load.check(new)
    assert killed[0] and answer["report"]["result"] == "done"


def test_what_is_deleted_before_the_copy_begins_anew_does_not_come_back(
    pair: tuple[RedisServer, RedisServer], proxy: Proxy
) -> None:
    old, new = pair
    for at in range(0, 20 * KEYS, KEYS):
        old.client().mset({f"key:{each}": "x" * 300 for each in range(at, at + KEYS)})
    killed, logged = [0], len(proxy.log)

    def interrupt() -> None:
        while new.client().dbsize() < KEYS // 10:
            time.sleep(0.001)
        for each in new.client().client_list():
            if each["cmd"] in ("set", "mset") and each["name"] != "redisproxy":
                with contextlib.suppress(redis.ResponseError):
                    new.client().client_kill_filter(_id=each["id"])
                    killed[0] += 1
        wait_until(lambda: "the copy begins anew" in proxy.log[logged:], "nobody is told of changes")
        old.client().flushall()
        old.client().set("left", 1)

    acting = threading.Thread(target=interrupt, daemon=True)
    acting.start()
    report = switch(proxy, new)
    acting.join(30)
    assert report["result"] == "done" and killed[0]
    assert contents(raw(new), False) == contents(raw(old), False)


def test_a_server_that_is_killed_leaves_the_old_one_in_use(emptied: dict[str, RedisServer], shared: Proxy) -> None:
    old = emptied["Redis 7.0"]
    use(shared, old)
    old.client().mset({f"key:{at}": at for at in range(KEYS)})
    with RedisServer() as new, Load(shared, 10) as load:
        acting = at_step(shared, "copy", new.process.kill)
        report = refused(shared, new)
        acting.join(10)
        assert report["result"] == "rolled_back" and "the new server" in report["error"], report
        assert "marked as finished" not in report["error"], "it never was"
    load.check(old)


HANGS = """
import os, signal
from redisproxy.switchover.report import SwitchoverReport
step = SwitchoverReport.step

def hanging(self, name):
    if name == "rest":
        os.kill(int(os.environ["REDISPROXY_TEST_STOPS"]), signal.SIGSTOP)
    return step(self, name)

SwitchoverReport.step = hanging
"""


def test_an_old_server_that_hangs_behind_its_fence_and_goes_on_later_refuses_no_write() -> None:
    """The clients are let go while it hangs: when it goes on, it lifts the fence before it reads their writes."""
    with RedisServer() as old, RedisServer() as new:
        stopped = Path(f"/proc/{old.process.pid}/stat")
        environment = {"REDISPROXY_TEST_STOPS": str(old.process.pid)}

        def go_on() -> None:
            wait_until(lambda: stopped.read_text().split()[2] == "T", "it hangs", 60)
            time.sleep(3)
            old.process.send_signal(signal.SIGCONT)

        going_on = threading.Thread(target=go_on, daemon=True)
        with Proxy(old.uplink, plugin=HANGS, environment=environment) as proxy, Load(proxy, 10) as load:
            going_on.start()
            report = refused(proxy, new, pause_budget_ms=1000)
            going_on.join(60)
            assert report["result"] == "rolled_back" and report["pause_ms"] < 2500, report
            wait_until(lambda: old.client().config_get(FENCE)[FENCE] == "0", "the fence is lifted")
            done = [each.done for each in load.clients]
            wait_until(lambda: all(a.done > b for a, b in zip(load.clients, done, strict=True)), "all go on")
        load.check(old)


def test_an_old_server_that_is_killed_comes_back_with_everything_that_it_had_acknowledged(
    emptied: dict[str, RedisServer], shared: Proxy
) -> None:
    """Nobody goes to the new server, which has a part of it; the next attempt copies all."""
    new = emptied["Redis 8"]
    with RedisServer("--appendonly", "yes", "--appendfsync", "always") as old:
        use(shared, old)
        old.client().mset({f"key:{at}": "x" * 1000 for at in range(10 * KEYS)})
        acknowledged = [0]

        def kill() -> None:
            acknowledged[0] = int(shared.client().incr("counted"))
            old.process.kill()

        acting = at_step(shared, "copy", kill)
        report = refused(shared, new, verify="all")
        acting.join(10)
        assert report["result"] == "rolled_back" and "the old server" in report["error"], report
        assert new.client().exists("__redisproxy:copy")
        old.process.wait()
        old.start()
        wait_until(lambda: shared.client().get("counted") == str(acknowledged[0]), "the old server is back")
        assert switch(shared, new)["result"] == "done"
        assert new.client().dbsize() == 10 * KEYS + 1


@pytest.fixture
def managed(servers: dict[str, RedisServer]) -> Iterator[tuple[RedisServer, dict[str, str]]]:
    """A server whose user has not what managed servers keep from theirs, and how that user logs in."""
    with RedisServer() as server:
        server.client().execute_command("ACL", "SETUSER", "app", "on", ">secret", *MANAGED, "-client|pause")
        yield server, {"user": "app", "pass": "secret"}


def test_out_of_a_managed_server_only_with_all_writers_behind_the_proxy(
    managed: tuple[RedisServer, dict[str, str]], emptied: dict[str, RedisServer]
) -> None:
    (old, login), new = managed, emptied["Redis 8"]
    fill(raw(old), False)
    wanted = contents(raw(old), False)
    with Proxy({**old.uplink, **login}) as proxy, Load(proxy, 10) as load:
        report = refused(proxy, new)
        assert report["result"] == "refused" and "writers_behind_proxy" in report["error"]
        report = switch(proxy, new, writers_behind_proxy=True, pause_budget_ms=10_000)
        assert report["result"] == "done" and report["fence"] == "none"
    load.check(new)
    there = contents(raw(new), False)
    assert {key: value for key, value in there.items() if not key.startswith(b"counter:")} == wanted


def test_out_of_a_managed_server_that_allows_a_pause(
    managed: tuple[RedisServer, dict[str, str]], emptied: dict[str, RedisServer]
) -> None:
    (old, login), new = managed, emptied["Redis 8"]
    old.client().execute_command("ACL", "SETUSER", "app", "+client|pause")
    with Proxy({**old.uplink, **login}) as proxy, Load(proxy, 10) as load:
        report = switch(proxy, new)
        assert report["result"] == "done" and report["fence"] == "pause"
        assert any("takes writes again" in each for each in report["warnings"])
    load.check(new)
    assert old.client().set("free", 1)


def notifies(server: RedisServer) -> str:
    return str(server.client().config_get("notify-keyspace-events")["notify-keyspace-events"])


def test_where_client_tracking_is_refused_notifications_tell_what_changes(
    emptied: dict[str, RedisServer],
) -> None:
    """They are set for the time of the copy; what they do not tell of is noted as it passes."""
    old, new = emptied["Redis 7.0"], emptied["Redis 8"]
    rules = "reset", "on", ">secret", "~*", "&*", "+@all", "-client|tracking"
    old.client().execute_command("ACL", "SETUSER", "untracked", *rules)
    old.client().config_set("notify-keyspace-events", "Kx")
    for db in (0, 1):
        old.client(db=db).mset({f"key:{at}": "x" * 100 for at in range(KEYS)})
    with Proxy({**old.uplink, "user": "untracked", "pass": "secret"}) as proxy, Load(proxy, 10) as load:
        noticed = []

        def act() -> None:
            proxy.client(db=1).flushdb()
            noticed.append(notifies(old))
            proxy.client(db=1).set("after", 1)
            old.client(db=1).set("bypassing", 1)

        acting = at_step(proxy, "copy", act)
        report = switch(proxy, new, pause_budget_ms=10_000)
        acting.join(30)
        assert report["result"] == "done" and report["copy"]["feed"] == "notifications", report
        assert any("CLIENT TRACKING" in each for each in report["warnings"])
    load.check(new)
    assert set(notifies(old)) == set("Kx") and set(noticed[0]) == set("AKE")
    assert report["verified"]["differences"] == [] and new.client(db=1).dbsize() == 2
    old.client().config_set("notify-keyspace-events", "")


def test_where_nothing_tells_what_changes_the_copy_is_refused(emptied: dict[str, RedisServer]) -> None:
    old, new = emptied["Redis 7.0"], emptied["Redis 8"]
    rules = "reset", "on", ">secret", "~*", "&*", "+@all", "-client|tracking", "-config|set"
    old.client().execute_command("ACL", "SETUSER", "untracked", *rules)
    with Proxy({**old.uplink, "user": "untracked", "pass": "secret"}) as proxy:
        report = refused(proxy, new)
        assert report["result"] == "refused" and "set it to KEA there" in report["error"]
        old.client().config_set("notify-keyspace-events", "KEA")
        assert switch(proxy, new)["copy"]["notify"] == []
    old.client().config_set("notify-keyspace-events", "")


def test_auto_copies_where_replication_is_not_possible(emptied: dict[str, RedisServer], shared: Proxy) -> None:
    old, new = emptied["Redis 8"], emptied["Valkey 9"]
    use(shared, old)
    old.client().set("a", 1)
    report = switch(shared, new, mode="auto")
    assert report["result"] == "done" and "can't be sure to read" in report["copied_because"]
    assert new.client().get("a") == "1" and any(step["name"] == "copy" for step in report["steps"])


def test_auto_replicates_where_that_is_possible(pair: tuple[RedisServer, RedisServer], proxy: Proxy) -> None:
    report = switch(proxy, pair[1], mode="auto")
    assert report["result"] == "done" and any(step["name"] == "replicate" for step in report["steps"])


def test_messages_watches_blocked_clients_and_scripts_carry_over(
    pair: tuple[RedisServer, RedisServer], proxy: Proxy
) -> None:
    _, new = pair
    listener = proxy.client().pubsub()
    listener.subscribe("news")
    popper, watcher, popped = proxy.client(), proxy.client(), []
    blocked = threading.Thread(target=lambda: popped.append(popper.blpop(["jobs"], timeout=60)), daemon=True)
    blocked.start()
    sha = proxy.client().script_load("return 7")
    watcher.set("watched", 1)
    pipe = watcher.pipeline()
    pipe.watch("watched")
    stop, sent = threading.Event(), [0]

    def publish() -> None:
        publisher = proxy.client()
        while not stop.is_set():
            publisher.publish("news", sent[0])
            sent[0] += 1

    publishing = threading.Thread(target=publish, daemon=True)
    publishing.start()
    assert switch(proxy, new)["result"] == "done"
    stop.set()
    publishing.join(10)
    got: list[str] = []

    def hear() -> bool:
        while message := listener.get_message(timeout=0.1):
            if message["type"] == "message":
                got.append(message["data"])
        return len(got) >= sent[0]

    wait_until(hear, "all messages have come", 60)
    assert got == [str(at) for at in range(sent[0])] and not listener.get_message(timeout=0.5)
    pipe.multi()
    pipe.set("watched", 2)
    assert pipe.execute() == [True] and new.client().get("watched") == "2"
    assert proxy.client().evalsha(sha, 0) == 7
    proxy.client().rpush("jobs", "a")
    blocked.join(10)
    assert popped == [("jobs", "a")]


STREAMS = [f"stream:{at}" for at in range(5)]


class Consumer(threading.Thread):
    """Reads streams as consumers of a group, acknowledges and claims, until it is stopped or refused.

    @ivar read: the ids that it has got, by stream. @ivar acknowledged: those of them that it has acknowledged.
    """

    CLAIM = "return redis.call('XAUTOCLAIM', KEYS[1], 'g', 'claimer', 0, 0, 'COUNT', 1)"

    def __init__(self, client: Any) -> None:
        super().__init__(daemon=True)
        self.read: dict[str, list[str]] = {stream: [] for stream in STREAMS}
        self.acknowledged: set[tuple[str, str]] = set()
        self.stopped = threading.Event()
        self._client = client

    def run(self) -> None:
        with contextlib.suppress(redis.ResponseError):  # the fence
            while not self.stopped.is_set():
                for stream in STREAMS:
                    self._consume(stream)
                time.sleep(0.002)

    def _consume(self, stream: str) -> None:
        count = len(self.read[stream])
        for _, entries in self._client.xreadgroup("g", f"c{count % 3}", {stream: ">"}, count=1):
            self.read[stream].append(entries[0][0])
            if count % 2:
                self._client.xack(stream, "g", entries[0][0])
                self.acknowledged.add((stream, entries[0][0]))
        self._client.eval(self.CLAIM, 1, stream)

    def stop(self) -> None:
        self.stopped.set()
        self.join(30)


@pytest.fixture
def consuming(pair: tuple[RedisServer, RedisServer]) -> RedisServer:
    """The old server, with streams that are read while it is left, and other keys."""
    client = pair[0].client()
    client.mset({f"key:{at}": at for at in range(KEYS)})
    for stream in STREAMS:
        with client.pipeline() as pipe:
            for at in range(1, 20_001):
                pipe.xadd(stream, {"f": "v"}, f"{at}-1")
            pipe.xgroup_create(stream, "g", 0)
            pipe.execute()
    return pair[0]


def test_what_consumers_of_a_group_do_meanwhile_arrives(
    consuming: RedisServer, pair: tuple[RedisServer, RedisServer], proxy: Proxy
) -> None:
    """The old server tells nothing of it."""
    consumer = Consumer(proxy.client())
    consumer.start()
    try:
        report = switch(proxy, pair[1], pause_budget_ms=10_000, writers_behind_proxy=True)
        before = {stream: len(read) for stream, read in consumer.read.items()}
        wait_until(lambda: all(len(consumer.read[stream]) > before[stream] + 2 for stream in STREAMS), "it reads on")
    finally:
        consumer.stop()
    assert report["result"] == "done" and min(before.values()) > 0
    for stream, read in consumer.read.items():
        assert read == [f"{at}-1" for at in range(1, len(read) + 1)], stream
        left = {each["message_id"] for each in pair[1].client().xpending_range(stream, "g", "-", "+", 10000)}
        assert left == {number for number in read if (stream, number) not in consumer.acknowledged}


def test_what_scripts_do_to_streams_that_they_do_not_declare_arrives(
    consuming: RedisServer, pair: tuple[RedisServer, RedisServer], proxy: Proxy
) -> None:
    client, read, stopped = proxy.client(), list[str](), threading.Event()
    script = "return redis.call('XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', 1, 'STREAMS', ARGV[1], '>')[1][2][1][1]"

    def consume() -> None:
        while not stopped.is_set():
            read.append(client.eval(script, 0, STREAMS[0]))
            time.sleep(0.001)

    thread = threading.Thread(target=consume, daemon=True)
    thread.start()
    try:
        report = switch(proxy, pair[1], pause_budget_ms=10_000, writers_behind_proxy=True)
        before = len(read)
        wait_until(lambda: len(read) > before + 2 or not thread.is_alive(), "it reads on")
    finally:
        stopped.set()
        thread.join(30)
    assert report["result"] == "done" and before and thread.is_alive() is False
    assert read == [f"{at}-1" for at in range(1, len(read) + 1)]


def test_what_consumers_that_bypass_the_proxy_do_meanwhile_arrives(
    consuming: RedisServer, pair: tuple[RedisServer, RedisServer], proxy: Proxy
) -> None:
    consumer = Consumer(consuming.client())
    consumer.start()
    try:
        report = switch(proxy, pair[1], pause_budget_ms=10_000)
    finally:
        consumer.stop()
    assert report["result"] == "done" and consumer.acknowledged and report["warnings"] == []
    for stream in STREAMS:
        assert pending_of(pair[1], stream) == pending_of(consuming, stream)


def test_more_streams_than_are_remembered_are_told(pair: tuple[RedisServer, RedisServer], proxy: Proxy) -> None:
    streams = pair[0].client().pipeline(transaction=False)
    for at in range(20_100):
        streams.xgroup_create(f"stream:{at}", "g", mkstream=True)
    streams.execute()
    report = switch(proxy, pair[1], pause_budget_ms=10_000)
    assert report["result"] == "done"
    assert any("no time or memory to compare the groups of all streams" in each for each in report["warnings"])


def pending_of(server: RedisServer, stream: str) -> Any:
    """A group's last id, consumers and pending entries, without the times of delivery."""
    client: Any = server.client()
    pending = client.xpending_range(stream, "g", "-", "+", 10000)
    consumers = {each["name"]: each["pending"] for each in client.xinfo_consumers(stream, "g")}
    entries = [(each["message_id"], each["consumer"], each["times_delivered"]) for each in pending]
    return entries, consumers, client.xinfo_groups(stream)[0]["last-delivered-id"]
