"""The way back between real servers: there and back, by itself, forgotten, after a restart, and where there is none."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.end_to_end.harness import Certificates, Load, Proxy, RedisServer, busy_script, wait_until
from tests.end_to_end.test_versions import start
from tests.end_to_end.upgrading import Upgraded

pytestmark = pytest.mark.one_twin

KEPT = {"keep_way_back": True}


@pytest.fixture
def kept(server: RedisServer) -> Iterator[Proxy]:
    """A proxy of the test's own, with servers of its own."""
    with Proxy(server.uplink, switchover=KEPT) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def trio() -> Iterator[tuple[RedisServer, RedisServer, Proxy]]:
    """What several tests share, one after the other: two servers, and a proxy that is on one of them."""
    with RedisServer() as one, RedisServer() as two, Proxy(one.uplink, switchover=KEPT) as proxy:
        yield one, two, proxy


@pytest.fixture
def shared(trio: tuple[RedisServer, RedisServer, Proxy]) -> tuple[RedisServer, RedisServer, Proxy]:
    """The server in use, the other one, and the proxy; the file names the server in use."""
    one, two, proxy = trio
    here, there = (one, two) if proxy.info()["uplink"]["address"].endswith(str(one.port)) else (two, one)
    proxy.write(uplink=here.uplink, switchover=KEPT)
    proxy.do("reload")
    if not follows(there, here):
        there.promote()
        there.client().config_set("min-replicas-to-write", 0)
        there.client().flushall()
    return here, there, proxy


def switch(proxy: Proxy, new: RedisServer) -> dict[str, Any]:
    proxy.write(uplink=new.uplink)
    report: dict[str, Any] = proxy.do("switchover")["report"]
    return report


def back(proxy: Proxy) -> dict[str, Any]:
    report: dict[str, Any] = proxy.do("switchover", back="1")["report"]
    return report


def follows(replica: RedisServer, primary: RedisServer) -> bool:
    info = replica.client().info("replication")
    return info["role"] == "slave" and info["master_port"] == primary.port and info["master_link_status"] == "up"


def is_fenced(server: RedisServer) -> bool:
    return int(str(server.client().config_get("min-replicas-to-write")["min-replicas-to-write"])) >= 1_000_000_000


def program(proxy: Proxy, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "redisproxy.cli", name, "-c", str(proxy.path), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", ["Redis 6.2", "Redis 7.0", "Redis 8", "Valkey 9"])
def test_there_and_back_twenty_times_loses_nothing(name: str) -> None:
    with start(name) as old, start(name) as new, Proxy(old.uplink, switchover=KEPT) as proxy:
        with Load(proxy, 10) as load:
            report = switch(proxy, new)
            for number in range(20):
                assert report["way_back"]["follows"] and report["clients_closed"] == {}, report
                server, other = (new, old) if number % 2 == 0 else (old, new)
                wait_until(lambda: follows(other, server), "the server before follows")  # noqa: B023
                assert is_fenced(other) and not is_fenced(server)
                report = back(proxy)
        load.check(new)
        assert {old.client().info("stats")["sync_full"], new.client().info("stats")["sync_full"]} <= {0, 1, 2}
        assert proxy.info()["clients"]["closed"] == {}


@pytest.mark.parametrize(
    ("old_name", "new_name", "mode", "reason"),
    [
        ("Redis 7.0", "Redis 8", "copy", "from older to newer versions only"),
        ("Redis 6.2", "Valkey 9", "replicate", "Redis reads the data of Valkey 8 and older"),
    ],
)
def test_where_the_old_server_can_not_follow_going_back_copies(
    old_name: str, new_name: str, mode: str, reason: str
) -> None:
    """What it holds is what was left there, so nobody has to empty it, nor to say that it may be replaced."""
    settings = {**KEPT, "mode": mode, "pause_budget_ms": 10_000}
    with start(old_name) as old, start(new_name) as new, Proxy(old.uplink, switchover=settings) as proxy:
        with Load(proxy, 5) as load:
            old.client().set("gone", 1)
            report = switch(proxy, new)
            assert not report["way_back"]["follows"] and reason in report["way_back"]["why_not"]
            assert "does not follow" in " ".join(report["warnings"]) and is_fenced(old)
            assert reason in proxy.info()["switchover"]["way_back"]["why_not"]
            new.client().delete("gone")
            report = back(proxy)
            assert report["result"] == "done" and "copy" in [step["name"] for step in report["steps"]]
        load.check(old)
        assert not old.client().exists("gone") and is_fenced(new) and not is_fenced(old)


def test_what_others_have_written_to_the_old_server_is_not_replaced() -> None:
    with start("Redis 7.0") as old, start("Redis 8") as new, Proxy(old.uplink, switchover={"mode": "copy"}) as proxy:
        switch(proxy, new)
        assert proxy.do("switchover", back="1", dry_run="1")["report"]["result"] == "dry_run"
        assert is_fenced(old)
        old.client().config_set("min-replicas-to-write", 0)
        old.client().set("written", "by somebody else")
        status, answer = proxy.admin("switchover", back="1")
        assert status == 400 and "somebody may have written there" in answer["error"]
        assert old.client().get("written") and proxy.client().set("a", 1)


def test_after_going_back_the_file_that_names_the_other_server_leads_nobody_astray(
    shared: tuple[RedisServer, RedisServer, Proxy],
) -> None:
    server, other, kept = shared
    old_uplink = dict(kept.config["uplink"])
    switch(kept, other)
    wait_until(lambda: follows(server, other), "the old server follows")
    dry = program(kept, "switchover", "--back", "--dry-run")
    assert dry.returncode == 0 and "nothing stands in the way" in dry.stdout, dry.stderr
    gone = program(kept, "switchover", "--back")
    assert gone.returncode == 0 and "the configuration file has to name" in " ".join(gone.stdout.split()), gone.stderr
    client = kept.client()
    assert client.set("a", 1) and server.client().get("a") == "1"

    status, answer = kept.admin("reload")
    assert status == 400 and "left by going back" in answer["error"], answer
    told = kept.log.count("left by going back")
    kept.hup()
    wait_until(lambda: kept.log.count("left by going back") > told, "the SIGHUP is refused")
    assert kept.admin("switchover", back="1", dry_run="1")[0] == 200 and kept.admin("reload")[0] == 400
    assert client.set("a", 2) and "has to name" in kept.info()["uplink"]["advice"]
    kept.write(uplink=old_uplink)
    kept.do("reload")
    assert not kept.info()["uplink"]["advice"] and client.set("a", 3) and server.client().get("a") == "3"

    wait_until(lambda: follows(other, server), "the other one follows")
    assert switch(kept, other)["result"] == "done" and client.get("a") == "3", "there again, as the file says"


def test_a_restart_onto_the_server_that_was_left_is_told_and_loses_nothing(
    server: RedisServer, other: RedisServer, kept: Proxy
) -> None:
    old_uplink = dict(kept.config["uplink"])
    switch(kept, other)
    back(kept)
    wait_until(lambda: follows(other, server), "the new server follows")
    kept.stop()
    kept.restart()
    wait_until(lambda: "left by a switchover" in kept.info()["uplink"]["advice"], "the advice is there")
    assert f"127.0.0.1:{server.port}" in kept.info()["uplink"]["advice"]
    with pytest.raises(redis.ResponseError, match="read only replica"):
        kept.client().set("a", 1)
    refused = program(kept, "unfence")
    assert refused.returncode == 1 and "keeps its fence" in refused.stderr and is_fenced(other)
    kept.write(uplink=old_uplink)
    kept.do("reload")
    assert kept.client().set("a", 1)


def test_after_a_restart_it_is_found_again(server: RedisServer, other: RedisServer, kept: Proxy) -> None:
    switch(kept, other)
    kept.client().set("a", 1)
    kept.stop()
    kept.restart()
    wait_until(lambda: follows(server, other), "it follows without the proxy")
    wait_until(lambda: kept.info()["switchover"]["way_back"], "it is found")
    synchronised = other.client().info("stats")["sync_full"]
    report = back(kept)
    assert report["result"] == "done" and "found again" in " ".join(report["warnings"])
    assert kept.client().get("a") == "1"
    assert other.client().info("stats")["sync_full"] == synchronised and not is_fenced(server)
    kept.write(uplink=server.uplink)
    kept.stop()
    kept.restart()
    wait_until(lambda: kept.info()["switchover"]["way_back"], "it is found")
    done = program(kept, "switchover", "--forget-way-back")
    assert done.returncode == 0 and other.client().role()[0] == "master" and is_fenced(other), done.stderr
    status, answer = kept.admin("switchover", back="1")
    assert status == 409 and "Name the server before in the configuration file" in answer["error"]


def test_after_an_upgrade_it_is_known() -> None:
    with RedisServer(password="hush-one") as old, RedisServer(password="hush-two") as new:
        old.client().config_set("masterauth", "before")
        with Upgraded(old.uplink, switchover=KEPT) as proxy, Load(proxy, 3) as load:
            switch(proxy, new)
            proxy.upgrade()
            wait_until(lambda: follows(old, new), "the old server follows")
            report = back(proxy)
            assert report["result"] == "done" and old.client().config_get("masterauth") == {"masterauth": "before"}
            assert "hush" not in proxy.log + str(proxy.info())
        load.check(old)


def test_forgotten_it_stands_alone_behind_its_fence() -> None:
    with RedisServer(password="hush-one") as old, RedisServer(password="hush-two") as new:
        old.client().config_set("masterauth", "before")
        with Proxy(old.uplink, switchover=KEPT) as proxy:
            switch(proxy, new)
            wait_until(lambda: follows(old, new), "the old server follows")
            assert old.client().config_get("masterauth") == {"masterauth": "hush-two"}
            done = program(proxy, "switchover", "--forget-way-back")
            assert done.returncode == 0 and f"127.0.0.1:{old.port}" in done.stdout, done.stderr
            assert old.client().role()[0] == "master" and is_fenced(old)
            assert old.client().config_get("masterauth") == {"masterauth": "before"}
            with pytest.raises(redis.ResponseError, match="NOREPLICAS"):
                old.client().set("a", 1)
            assert proxy.admin("forget-way-back")[0] == 409 and proxy.admin("switchover", back="1")[0] == 409
            assert proxy.info()["switchover"]["way_back"] is None
            assert "hush" not in proxy.log + str(proxy.info())


def test_going_back_puts_the_replication_settings_back() -> None:
    with RedisServer(password="hush-one") as old, RedisServer(password="hush-two") as new:
        old.client().config_set("masterauth", "before")
        with Proxy(old.uplink, switchover=KEPT) as proxy:
            switch(proxy, new)
            wait_until(lambda: follows(old, new), "the old server follows")
            back(proxy)
            assert old.client().config_get("masterauth") == {"masterauth": "before"} and not is_fenced(old)
            assert new.client().config_get("masterauth") == {"masterauth": "hush-one"}, "now the other one follows"


def test_the_way_back_before_the_last_one_is_let_go(
    shared: tuple[RedisServer, RedisServer, Proxy],
) -> None:
    server, other, kept = shared
    with RedisServer() as third:
        switch(kept, other)
        wait_until(lambda: follows(server, other), "the first server follows the second")
        switch(kept, third)
        wait_until(lambda: follows(other, third), "the second server follows the third")
        assert server.client().role()[0] == "master" and is_fenced(server)
        assert back(kept)["to"] == f"127.0.0.1:{other.port}" and kept.client().set("a", 1)


def watched(proxy: Proxy, **bounds: int) -> None:
    proxy.write(switchover={**KEPT, "watch_ms": 20000, **bounds})


def test_with_too_many_errors_it_goes_back_by_itself(
    shared: tuple[RedisServer, RedisServer, Proxy],
) -> None:
    server, other, kept = shared
    watched(kept, watch_errors=20)
    client = kept.client()
    client.set("text", "x")
    with Load(kept, 5) as load:
        switch(kept, other)
        assert kept.info()["switchover"]["watch"]["verdict"] == ""
        deadline = time.monotonic() + 20
        while kept.info()["uplink"]["address"].endswith(str(other.port)) and time.monotonic() < deadline:
            with pytest.raises(redis.ResponseError):
                client.lpush("text", 1)
        wait_until(lambda: "went back" in kept.info()["switchover"]["watch"]["verdict"], "the verdict is there")
    load.check(server)
    report = kept.info()["switchover"]["last"][0]
    assert report["result"] == "done" and "error replies within a second" in report["reason"]
    assert "going back by itself" in kept.log
    assert client.set("a", 1) and server.client().get("a") == "1"


def test_with_slow_answers_it_goes_back_by_itself(
    shared: tuple[RedisServer, RedisServer, Proxy],
) -> None:
    server, other, kept = shared
    watched(kept, watch_latency_ms=250)
    switch(kept, other)
    direct, began = other.client(), time.monotonic()
    while kept.info()["uplink"]["address"].endswith(str(other.port)) and time.monotonic() - began < 30:
        direct.eval(busy_script(0.6), 0)
    wait_until(lambda: "went back" in kept.info()["switchover"]["watch"]["verdict"], "the verdict is there", 30)
    assert "watch_latency_ms" in kept.info()["switchover"]["last"][0]["reason"]
    assert kept.client().set("a", 1) and server.client().get("a") == "1"


def test_a_watch_that_sees_nothing_bad_ends_and_one_that_can_not_go_back_says_so(
    server: RedisServer, other: RedisServer, kept: Proxy
) -> None:
    kept.write(switchover={**KEPT, "watch_ms": 500, "watch_errors": 1000})
    switch(kept, other)
    wait_until(lambda: kept.info()["switchover"]["watch"]["verdict"] == "all was well", "the watch ends")
    watched(kept, watch_errors=1000)
    back(kept)
    kept.write(uplink=server.uplink)
    kept.do("reload")
    switch(kept, other)
    other.process.send_signal(signal.SIGKILL)
    wait_until(lambda: "could not go back" in kept.info()["switchover"]["watch"]["verdict"], "it can't go back", 30)
    assert kept.info()["uplink"]["address"].endswith(str(other.port)), "nothing may be lost without being asked"


def test_an_old_server_that_is_gone_is_no_way_back(server: RedisServer, other: RedisServer, kept: Proxy) -> None:
    kept.write(uplink=other.uplink)
    kept.write(switchover={**KEPT, "way_back_from": "127.0.0.1:1"})
    report = kept.do("switchover")["report"]
    assert report["way_back"]["follows"] and report["way_back"]["replicates_from"]["port"] == 1, "as it was told"
    server.process.send_signal(signal.SIGKILL)
    status, answer = kept.admin("switchover", back="1")
    assert status in (400, 409) and kept.client().set("a", 1), answer


def test_after_a_copy_to_an_older_version_the_way_back_is_by_replication() -> None:
    with start("Redis 8") as old, start("Redis 7.0") as new:
        with Proxy(old.uplink, switchover={**KEPT, "mode": "copy"}) as proxy, Load(proxy, 5) as load:
            report = switch(proxy, new)
            assert report["way_back"]["follows"], report
            wait_until(lambda: follows(old, new), "the old server follows")
            assert is_fenced(old)
            time.sleep(0.2)
            assert "replicate" in [step["name"] for step in back(proxy)["steps"]]
            time.sleep(0.2)
        load.check(old)


def test_over_tls_with_users_and_without_persistence(certificates: Certificates) -> None:
    with (
        RedisServer(tls=certificates, password="hush-one") as old,
        RedisServer(tls=certificates, password="hush-two") as new,
        Proxy(old.uplink, tls=certificates, switchover=KEPT) as proxy,
    ):
        for server in (old, new):
            server.client().acl_setuser("mover", enabled=True, passwords=["+hush-hush"], keys=["*"], commands=["+@all"])
        with Load(proxy, 5) as load:
            proxy.write(uplink={**new.uplink, "user": "mover", "pass": "hush-hush"})
            report = proxy.do("switchover")["report"]
            assert report["way_back"]["follows"] and "no persistence" in " ".join(report["warnings"])
            wait_until(lambda: follows(old, new), "the old server follows")
            back(proxy)
        load.check(old)
        assert "hush" not in proxy.log + str(proxy.info())
