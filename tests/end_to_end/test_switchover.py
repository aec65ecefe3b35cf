"""The switchover between real Redis servers, carried out by a real proxy."""

from __future__ import annotations

import contextlib
import http.client
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from twisted.internet.defer import Deferred, ensureDeferred, succeed

from redisproxy.dataplane import server_commands
from redisproxy.resp import RespError
from tests.end_to_end.harness import Certificates, Load, Proxy, RedisServer, free_port, wait_until


def switch(proxy: Proxy, new: RedisServer, **more: Any) -> dict[str, Any]:
    """Point the configuration at `new` and let the proxy carry the switchover out; its report."""
    proxy.write(uplink={**new.uplink, **more})
    report: dict[str, Any] = proxy.do("switchover")["report"]
    return report


def test_one_command_moves_data_and_busy_clients(server: RedisServer, other: RedisServer, proxy: Proxy) -> None:
    server.client(db=3).set("in", "three")
    with Load(proxy, 50) as load:
        total = proxy.info()["clients"]["total"]
        time.sleep(0.2)
        report = switch(proxy, other)
        time.sleep(0.3)
    load.check(other)
    assert report["result"] == "done" and report["held"] > 0 and report["clients_closed"] == {}
    assert 0 < report["longest_wait_ms"] <= report["pause_ms"] < 2000
    assert report["new_offset"] >= report["old_offset"] > 0
    names = [step["name"] for step in report["steps"]]
    assert names[:3] == ["preflight", "replicate", "catch up"] and names[-1] == "finish"
    assert other.client(db=3).get("in") == "three" and other.client().role()[0] == "master"
    info = proxy.info()
    assert info["clients"]["total"] == total and info["clients"]["closed"] == {} and info["in_flight"] == 0
    assert info["switchover"]["last"][0]["result"] == "done" and info["switchover"]["current"] is None


def test_the_old_server_refuses_writes_afterwards_and_keeps_its_data(
    server: RedisServer, other: RedisServer, proxy: Proxy
) -> None:
    proxy.client().set("a", 1)
    switch(proxy, other)
    with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
        server.client().set("a", 2)
    assert server.client().get("a") == "1"


def test_there_and_back_again(server: RedisServer, other: RedisServer, proxy: Proxy) -> None:
    with Load(proxy, 10) as load:
        for new in (other, server, other, server):
            assert switch(proxy, new)["result"] == "done"
            time.sleep(0.1)
    load.check(server)
    assert server.client().config_get("min-replicas-to-write") == {"min-replicas-to-write": "0"}


def test_a_writer_behind_the_proxys_back_loses_nothing_that_was_acknowledged(
    server: RedisServer, other: RedisServer, proxy: Proxy
) -> None:
    acknowledged: list[int] = []

    def write() -> None:
        direct = server.client()
        number = 0
        while True:
            try:
                direct.rpush("bypass", number)
            except redis.ResponseError:
                return
            acknowledged.append(number)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(0.1)
    switch(proxy, other)
    writer.join(10)
    assert not writer.is_alive() and acknowledged
    assert other.client().lrange("bypass", 0, -1) == [str(number) for number in acknowledged]


def test_over_tls_with_passwords_and_acl_users(certificates: Certificates) -> None:
    with (
        RedisServer(tls=certificates, password="one") as old,
        RedisServer(tls=certificates, password="two") as new,
        Proxy(old.uplink, tls=certificates) as proxy,
    ):
        for server in (old, new):
            server.client().acl_setuser("mover", enabled=True, passwords=["+hush-hush"], keys=["*"], commands=["+@all"])
        with Load(proxy, 10) as load:
            report = switch(proxy, new, user="mover", **{"pass": "hush-hush"})
            assert report["result"] == "done"
            time.sleep(0.1)
        load.check(new)
        assert "hush-hush" not in proxy.log and "hush-hush" not in str(proxy.info())


def test_a_dry_run_changes_nothing(server: RedisServer, other: RedisServer, proxy: Proxy) -> None:
    proxy.write(uplink=other.uplink)
    report = proxy.do("switchover", dry_run="1")["report"]
    assert report["result"] == "dry_run" and report["versions"] == [report["versions"][0]] * 2
    assert other.client().role()[0] == "master" and proxy.info()["uplink"]["address"].endswith(str(server.port))


def test_a_server_with_data_of_its_own_is_refused(server: RedisServer, other: RedisServer, proxy: Proxy) -> None:
    other.client().set("precious", 1)
    proxy.write(uplink=other.uplink)
    status, answer = proxy.admin("switchover")
    assert status == 400 and "holds 1 keys" in answer["error"] and answer["report"]["result"] == "refused"
    assert other.client().get("precious") == "1" and proxy.client().set("a", 1)


def test_the_same_address_is_refused(proxy: Proxy) -> None:
    status, answer = proxy.admin("switchover")
    assert status == 400 and "still names" in answer["error"]


def test_a_drain_that_does_not_fit_is_rolled_back_and_drops_nobody(
    server: RedisServer, other: RedisServer, proxy: Proxy
) -> None:
    proxy.write(uplink=other.uplink, switchover={"pause_budget_ms": 300})
    slow = proxy.connect()
    slow.sendall(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$1000000\r\n" + b"x" * 400000)
    wait_until(lambda: proxy.info()["in_flight"] == 1, "half of a large command is in flight")
    status, answer = proxy.admin("switchover")
    assert status == 504 and "set of client 1" in answer["error"], answer
    assert answer["report"]["result"] == "rolled_back" and answer["report"]["pause_ms"] < 300
    slow.sendall(b"x" * 600000 + b"\r\n")
    assert slow.recv(100) == b"+OK\r\n"
    slow.close()
    assert proxy.client().set("a", 1) and server.client().set("b", 1)
    assert proxy.info()["clients"]["closed"] == {} and other.client().role()[0] == "slave"


def test_a_new_server_with_a_full_disk_is_told_from_a_slow_one(
    server: RedisServer, other: RedisServer, proxy: Proxy
) -> None:
    server.client().set("ballast", "x" * 1000000)
    server.client().config_set("rdbcompression", "no")
    resource.prlimit(other.process.pid, resource.RLIMIT_FSIZE, (32768, resource.RLIM_INFINITY))
    proxy.write(uplink=other.uplink, switchover={"sync_stall_ms": 1000})
    with Load(proxy, 5) as load:
        status, answer = proxy.admin("switchover")
    load.check(server)
    assert status == 504 and "never came to the end" in answer["error"], answer
    assert proxy.info()["clients"]["closed"] == {} and other.client().role()[0] == "master"


def test_a_fence_that_is_left_from_a_crash_is_told_and_can_be_lifted(server: RedisServer) -> None:
    server.client().config_set("min-replicas-to-write", 1000000002)
    with Proxy(server.uplink) as proxy:
        wait_until(lambda: "is fenced" in proxy.info()["uplink"]["advice"], "the fence is told")
        with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
            proxy.client().set("a", 1)
        done = unfence(proxy)
        assert done.returncode == 0, done.stderr
        assert server.client().config_get("min-replicas-to-write") == {"min-replicas-to-write": "2"}
        assert proxy.log.count("is fenced") == 1
        assert "no fence" in unfence(proxy).stdout
        wait_until(lambda: not proxy.info()["uplink"]["advice"], "the advice is gone")


def test_a_fence_is_told_also_when_the_server_comes_up_after_the_proxy() -> None:
    port = free_port()
    with Proxy({"addr": f"127.0.0.1:{port}"}, wait=False) as proxy:
        wait_until(lambda: "refused" in proxy.log, "it has tried")
        with RedisServer("--min-replicas-to-write", "1000000000", port=port):
            wait_until(lambda: "is fenced" in proxy.info()["uplink"]["advice"], "the fence is told")


def unfence(proxy: Proxy) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "redisproxy.cli", "unfence", "-c", str(proxy.path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.one_twin
@pytest.mark.parametrize("step", ["replicate", "catch up", "connect", "drain", "fence", "verify", "promote", "swap"])
def test_a_proxy_killed_at_any_step_leaves_what_its_restart_and_one_command_put_right(
    server: RedisServer, other: RedisServer, step: str
) -> None:
    """Killed before the promotion: uplink back to the old server, unfence. After it: go on with the new one."""
    with Proxy(server.uplink, environment={"REDISPROXY_TEST_DIE_AT": step}, plugin=DIE) as proxy:
        proxy.client().set("a", 1)
        old_uplink = dict(proxy.config["uplink"])
        proxy.write(uplink=other.uplink)
        with pytest.raises((OSError, http.client.HTTPException)):
            proxy.admin("switchover")
        assert proxy.process.wait(10) == -signal.SIGKILL
        promoted = step == "swap"
        proxy.write(uplink=other.uplink if promoted else old_uplink)
        proxy.restart()
        if not promoted:
            assert unfence(proxy).returncode == 0
        client = proxy.client()
        assert client.get("a") == "1" and client.set("b", 2)
        proxy.write(uplink=old_uplink if promoted else other.uplink)
        assert proxy.do("switchover")["report"]["result"] == "done"
        assert client.get("b") == "2" and client.set("c", 3)


@pytest.mark.one_twin
@pytest.mark.parametrize("step", ["replicate", "promote", "swap", "finish"])
def test_a_proxy_stopped_at_any_step_tells_where_the_data_is(
    server: RedisServer, other: RedisServer, step: str
) -> None:
    """Stopped with SIGTERM: rolled back, or done once the clients are on the new server, and never in between."""
    environment = {"REDISPROXY_TEST_DIE_AT": step, "REDISPROXY_TEST_DIE_OF": "SIGTERM"}
    with Proxy(server.uplink, environment=environment, plugin=DIE) as proxy:
        proxy.client().set("a", 1)
        proxy.write(uplink=other.uplink)
        status, answer = proxy.admin("switchover")
        assert proxy.process.wait(10) == 0
        done = answer["report"]["result"] == "done"
        assert status == (200 if done else 409) and (done or step in ("replicate", "promote"))
        assert (other if done else server).client().set("b", 2)
        if not done:
            assert answer["report"]["result"] == "rolled_back" and "the proxy is shutting down" in answer["error"]
        else:
            with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
                server.client().set("b", 2)


DIE = """
import os, signal
from redisproxy.switchover.report import SwitchoverReport

step = SwitchoverReport.step

def dying(self, name):
    if name == os.environ["REDISPROXY_TEST_DIE_AT"]:
        os.kill(os.getpid(), getattr(signal, os.environ.get("REDISPROXY_TEST_DIE_OF", "SIGKILL")))
    return step(self, name)

SwitchoverReport.step = dying
"""


def test_stopping_the_proxy_rolls_a_switchover_back(server: RedisServer, other: RedisServer) -> None:
    with Proxy(server.uplink) as proxy:
        other.process.send_signal(signal.SIGSTOP)
        asking = threading.Thread(target=lambda: contextlib.suppress(Exception))
        proxy.write(uplink=other.uplink)
        asking = threading.Thread(target=lambda: _ask(proxy))
        asking.start()
        wait_until(lambda: proxy.info()["switchover"]["current"] is not None, "it runs")
        assert proxy.stop() == 0
        other.process.send_signal(signal.SIGCONT)
        asking.join(10)
        assert server.client().set("a", 1)


def test_a_hangup_during_a_switchover_that_fails_does_not_move_the_clients_after_all(
    server: RedisServer, other: RedisServer
) -> None:
    with Proxy(server.uplink) as proxy:
        proxy.client().set("a", 1)
        other.process.send_signal(signal.SIGSTOP)
        proxy.write(uplink={**other.uplink, "connect_timeout_ms": 800})
        asking = threading.Thread(target=lambda: _ask(proxy))
        asking.start()
        wait_until(lambda: proxy.info()["switchover"]["current"] is not None, "it runs")
        proxy.hup()
        asking.join(10)
        other.process.send_signal(signal.SIGCONT)
        wait_until(lambda: "SIGHUP that came meanwhile is not carried out" in proxy.log, "it says so")
        assert proxy.client().get("a") == "1" and proxy.info()["last_reload"] == {}


def _ask(proxy: Proxy) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        proxy.admin("switchover")


@pytest.mark.parametrize("refused_s", [0.05, 1.0])
def test_the_fence_is_lifted_though_the_old_server_can_not_be_had_for_a_moment(
    server: RedisServer, other: RedisServer, refused_s: float
) -> None:
    with Proxy(server.uplink, environment={"REDISPROXY_TEST_REFUSED_S": str(refused_s)}, plugin=REFUSE) as proxy:
        proxy.write(uplink=other.uplink)
        status, answer = proxy.admin("switchover")
        assert status == 409 and answer["error"] == "planted", answer
        assert answer["report"]["pause_ms"] < 2000
        assert server.client().config_get("min-replicas-to-write") == {"min-replicas-to-write": "0"}
        assert proxy.client().set("a", 1)


REFUSE = """
import os, time
from redisproxy.switchover import SwitchoverFailed
from redisproxy.switchover.both_servers import BothServers
from redisproxy.switchover.takeover import Takeover
from redisproxy.net.errors import UplinkUnavailable

open_old = BothServers.open_old
until = 0.0

async def losing(self):
    global until
    self._servers.at_old.close()
    until = time.monotonic() + float(os.environ["REDISPROXY_TEST_REFUSED_S"])
    raise SwitchoverFailed("planted")

async def refusing(self):
    if time.monotonic() < until:
        raise UplinkUnavailable("refused")
    return await open_old(self)

Takeover.verify = losing
BothServers.open_old = refusing
"""


def test_external_mode_waits_for_the_operators_word(server: RedisServer, other: RedisServer, proxy: Proxy) -> None:
    answers: list[dict[str, Any]] = []
    proxy.write(uplink=other.uplink, switchover={"mode": "external"})
    other.follow(server)
    with Load(proxy, 5) as load:
        waiting = threading.Thread(target=lambda: answers.append(proxy.do("switchover")))
        waiting.start()
        wait_until(lambda: (proxy.info()["switchover"]["current"] or {}).get("step", "").startswith("wait"), "it waits")
        wait_until(lambda: other.caught_up_with(server), "the replica has caught up")
        other.promote()
        proxy.do("switchover-go-on")
        waiting.join(10)
        time.sleep(0.1)
    load.check(other)
    assert answers[0]["report"]["result"] == "done"
    assert proxy.admin("switchover-go-on")[0] == 409


def test_blocked_clients_find_their_connections_at_the_new_server_already_open(
    server: RedisServer, other: RedisServer, proxy: Proxy
) -> None:
    workers, got = 30, []
    clients = [proxy.client() for _ in range(workers)]
    waiting = [threading.Thread(target=lambda each=each: got.append(each.blpop("jobs", 0))) for each in clients]
    for each in waiting:
        each.start()
    wait_until(lambda: server.client().info("clients")["blocked_clients"] == workers, "all wait for a job")
    proxy.write(uplink=other.uplink, switchover={"mode": "external"})
    switching = threading.Thread(target=lambda: proxy.do("switchover"))
    switching.start()
    wait_until(lambda: (proxy.info()["switchover"]["current"] or {}).get("step", "").startswith("wait"), "it waits")
    assert other.client().info("clients")["connected_clients"] > workers
    before = other.client().info("stats")["total_connections_received"]
    proxy.do("switchover-go-on")
    switching.join(10)
    wait_until(lambda: other.client().info("clients")["blocked_clients"] == workers, "all wait at the new server")
    assert other.client().info("stats")["total_connections_received"] - before < workers
    other.client().rpush("jobs", *range(workers))
    for each in waiting:
        each.join(10)
    assert sorted(int(job) for _, job in got) == list(range(workers))


class Asking:
    """Stands in for the connections of an uplink: asks a real server over one of redis-py's."""

    def __init__(self, server: RedisServer) -> None:
        self.own_commands = self
        self._connection = redis.Connection(port=server.port)
        self.asked: list[tuple[Any, ...]] = []
        self.own_commands = self

    def ask(self, *command: Any) -> Deferred[Any]:
        self.asked.append(command)
        self._connection.send_command(*command)
        try:
            return succeed(self._connection.read_response())
        except redis.ResponseError as error:
            return succeed(RespError(str(error)))


def test_what_a_server_knows_is_asked_for_in_pieces_and_is_the_same(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    uplinks: Any = Asking(server)
    found: list[Any] = []
    monkeypatch.setattr(server_commands, "in_table", lambda name: False)
    monkeypatch.setattr(server_commands, "learn", lambda reply: {item[0]: item[2] for item in reply})
    ensureDeferred(server_commands.commands_of(uplinks)).addCallback(found.append)
    whole = {item[0]: item[2] for item in uplinks.ask("COMMAND").result}
    assert found == [(whole, {})] and len(whole) > 200
    if server.client().info("server")["redis_version"] >= "7":
        assert len(uplinks.asked) > len(whole) / server_commands.LEARNED_AT_ONCE


WATCHES_GARBAGE = """
import gc
def told(name, straight):
    return lambda: (straight(), print("gc", name, gc.isenabled(), gc.get_freeze_count() > 10000, flush=True))
gc.disable, gc.enable, gc.freeze = told("off", gc.disable), told("on", gc.enable), told("frozen", gc.freeze)
"""


def test_no_garbage_is_collected_during_the_pause_and_never_what_was_there_at_the_start(
    server: RedisServer, other: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WATCHES_GARBAGE)
    with Proxy(server.uplink, environment={"PYTHONPATH": str(tmp_path)}) as proxy:
        before = proxy.log
        assert "gc frozen True True" in before
        assert switch(proxy, other)["result"] == "done"
        during = proxy.log.removeprefix(before)
        assert during.index("switchover: connect") < during.index("gc off False") < during.index("switchover: drain")
        assert during.index("switchover: swap") < during.index("gc on True")


def test_external_mode_goes_back_when_nobody_says_anything(
    server: RedisServer, other: RedisServer, proxy: Proxy
) -> None:
    proxy.write(uplink=other.uplink, switchover={"mode": "external", "external_deadline_ms": 200})
    status, answer = proxy.admin("switchover")
    assert status == 504 and "go on" in answer["error"]
    proxy.client().set("a", 1)
    assert server.client().get("a") == "1"


def test_scripts_are_known_at_the_new_server_and_old_cursors_are_refused(
    server: RedisServer, other: RedisServer, proxy: Proxy
) -> None:
    client = proxy.client()
    script = client.register_script("return redis.call('INCR', KEYS[1])")
    assert script(keys=["n"]) == 1
    client.mset({f"key:{number}": number for number in range(500)})
    cursor, _ = client.scan(0, count=100)
    switch(proxy, other)
    assert client.evalsha(script.sha, 1, "n") == 2
    with pytest.raises(redis.ResponseError, match="before the switch"):
        client.scan(cursor)
    assert len(set(client.scan_iter(count=50))) == 501
    client.hset("h", mapping={f"field:{number}": number for number in range(1000)})
    assert len(dict(client.hscan_iter("h", count=20))) == 1000


def test_a_watch_holds_across_a_switchover_if_nothing_changed_and_only_then(
    server: RedisServer, other: RedisServer, proxy: Proxy
) -> None:
    client = proxy.client()
    client.mset({"same": 1, "changed": 1, "expiring": 1})
    client.expire("expiring", 1000)
    watching = {}
    for key in ("same", "changed", "expiring", "absent"):
        watching[key] = proxy.client().pipeline()
        watching[key].watch(key)
        watching[key].get(key)
    client.set("changed", 2)
    switch(proxy, other)
    results: dict[str, object] = {}
    for key, pipe in watching.items():
        pipe.multi()
        pipe.set(key, "mine")
        try:
            results[key] = pipe.execute()
        except redis.WatchError:
            results[key] = None
    assert results == {"same": [True], "changed": None, "expiring": None, "absent": [True]}
    later = proxy.client().pipeline()
    later.watch("same")
    switch(proxy, server)
    client.set("same", "theirs")
    later.multi()
    later.set("same", "lost")
    with pytest.raises(redis.WatchError):
        later.execute()


def test_a_watch_with_an_open_transaction_holds_too_if_nothing_changed_and_only_then(
    server: RedisServer, other: RedisServer, proxy: Proxy
) -> None:
    client = proxy.client()
    server.client().config_set("hz", 1)
    client.mset({"same": 1, "changed": 1, "expiring": 1})
    client.expire("expiring", 1000)
    connections = {}
    for key in ("same", "changed", "expiring", "expired", "absent"):
        client.set("expired", 1, px=50)
        connections[key] = connection = client.connection_pool.get_connection()
        queued = (["SET", key, "mine"], ["CLIENT", "SETNAME", key], ["CLIENT", "GETNAME"], ["INCR", f"{key}:count"])
        for command in (["WATCH", key], ["GET", key], ["MULTI"], *queued):
            connection.send_command(*command)
            connection.read_response()
    client.set("changed", 2)
    switch(proxy, other)
    results = {}
    for key, connection in connections.items():
        connection.send_command("EXEC")
        results[key] = connection.read_response()
    done = {key: ["OK", "OK", key, 1] for key in ("same", "absent")}
    assert results == {**done, "changed": None, "expiring": None, "expired": None}
    connections["changed"].send_command("CLIENT", "GETNAME")
    assert connections["changed"].read_response() is None
    assert client.mget("same", "changed", "absent:count", "changed:count") == ["mine", "2", "1", None]


def test_a_watch_still_holds_after_a_switchover_that_was_rolled_back(
    server: RedisServer, other: RedisServer, proxy: Proxy
) -> None:
    pipe = proxy.client().pipeline()
    pipe.watch("a")
    other.client().config_set("appendonly", "no")
    proxy.write(uplink=other.uplink, switchover={"pause_budget_ms": 300})
    other.follow(server)
    other.client().acl_setuser("default", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-setrange"])
    status, answer = proxy.admin("switchover")
    assert status == 409 and answer["report"]["step"] == "promote", answer
    pipe.multi()
    pipe.set("a", 1)
    assert pipe.execute() == [True] and server.client().get("a") == "1"
    wait_until(lambda: other.client().role()[0] == "slave", "it is a replica again")
