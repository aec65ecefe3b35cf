"""A server that is busy with a script: others get what Redis itself would have given them."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from redisproxy.resp import encode_command as cmd
from tests.end_to_end.harness import Proxy, RedisServer, redis_6, redis_8, valkey_9, wait_until

FOR_EVER = "while true do end"
WITHOUT_END = "#!lua name=lib\nredis.register_function('f', function() while true do end end)"
THRESHOLD_MS = 300
PROGRAMS = {"7.0": "", "6.2": redis_6(), "8": redis_8(), "Valkey 9": valkey_9()}


@pytest.fixture(scope="module", params=PROGRAMS)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    option = "--lua-time-limit"  # the newer ones know it, too, as busy-reply-threshold
    with RedisServer(option, str(THRESHOLD_MS), program=PROGRAMS[request.param]) as server:
        yield server


@pytest.fixture(scope="module")
def proxy(server: RedisServer) -> Iterator[Proxy]:
    with Proxy(server.uplink, read_time_limit_ms=0) as proxy:
        yield proxy


@pytest.fixture
def runaway(proxy: Proxy) -> Iterator[socket.socket]:
    """A client whose script does not end."""
    with proxy.connect() as sock:
        sock.sendall(cmd("EVAL", FOR_EVER, 0))
        time.sleep(0.02)  # far less than it takes to see that it does not end
        yield sock
        end_script(proxy)


def end_script(proxy: Proxy) -> None:
    """Kill the script if one runs; it ends a moment after the server has said so."""
    try:
        proxy.client().execute_command("SCRIPT", "KILL")
    except redis.ResponseError as error:
        assert "NOTBUSY" in str(error)
    wait_until(lambda: not busy(proxy.client(), "GET", "k"), "the script has ended")


def busy(client: Any, *args: Any) -> bool:
    try:
        client.execute_command(*args)
    except redis.ResponseError as error:
        return "busy running a script" in str(error)
    return False


def test_others_are_told_that_it_is_busy_also_those_that_came_right_behind(
    proxy: Proxy, request: pytest.FixtureRequest
) -> None:
    other, on_db_3 = proxy.client(), proxy.client(db=3)
    other.ping(), on_db_3.ping()
    request.getfixturevalue("runaway")
    assert busy(other, "SET", "k", 1) and busy(on_db_3, "GET", "k")
    assert busy(proxy.client(), "GET", "k") and busy(proxy.client(db=5), "GET", "k")
    assert busy(other, "EVAL", "return 1", 0)
    end_script(proxy)
    assert other.get("k") is None and on_db_3.get("k") is None


def test_script_kill_gets_through_and_ends_only_the_script(proxy: Proxy, runaway: socket.socket) -> None:
    wait_until(lambda: busy(proxy.client(), "GET", "k"), "the server says that it is busy")
    killer = proxy.client()
    killer.execute_command("SCRIPT", "KILL")
    assert b"killed by user" in runaway.recv(1000)
    runaway.sendall(cmd("PING"))
    assert runaway.recv(100) == b"+PONG\r\n" and killer.ping()


def test_function_kill_gets_through(proxy: Proxy, server: RedisServer) -> None:
    if server.client().info("server")["redis_version"].startswith("6."):
        return
    server.client().execute_command("FUNCTION", "LOAD", "REPLACE", WITHOUT_END)
    with proxy.connect() as caller:
        caller.sendall(cmd("FCALL", "f", 0))
        wait_until(lambda: busy(proxy.client(), "GET", "k"), "the server says that it is busy")
        proxy.client().execute_command("FUNCTION", "KILL")
        assert b"killed by user" in caller.recv(1000)


def test_a_pause_says_what_it_waits_for_and_lets_the_kill_through(proxy: Proxy, runaway: socket.socket) -> None:
    wait_until(lambda: "SCRIPT KILL" in proxy.info()["uplink"]["advice"], "the page says that it is busy")
    killer = proxy.client()
    killer.client_id()
    assert "busy running a script" in proxy.do("pause")["advice"]
    try:
        killer.execute_command("SCRIPT", "KILL")
        assert b"killed by user" in runaway.recv(1000)
        wait_until(lambda: proxy.info()["state"] == "paused", "it is paused")
    finally:
        proxy.do("unpause")
    wait_until(lambda: not proxy.info()["uplink"]["advice"], "the advice is gone")


def test_a_switchover_from_a_busy_server_is_refused_with_the_reason(proxy: Proxy, runaway: socket.socket) -> None:
    wait_until(lambda: busy(proxy.client(), "GET", "k"), "the server says that it is busy")
    with RedisServer() as new:
        before = proxy.config["uplink"]
        proxy.config["uplink"] = new.uplink
        proxy.write()
        try:
            status, answer = proxy.admin("switchover")
        finally:
            proxy.config["uplink"] = before
            proxy.write()
    assert status in (400, 409) and "busy running a script" in answer["error"] and "SCRIPT KILL" in answer["error"]


def test_a_reload_to_a_busy_server_is_rejected_with_the_reason(proxy: Proxy, runaway: socket.socket) -> None:
    wait_until(lambda: busy(proxy.client(), "GET", "k"), "the server says that it is busy")
    with RedisServer() as other, Proxy(other.uplink) as elsewhere:
        elsewhere.config["uplink"] = proxy.config["uplink"]
        elsewhere.write()
        status, answer = elsewhere.admin("reload")
        assert status == 400 and "busy running a script" in answer["error"] and elsewhere.client().ping()


def test_scripts_run_when_the_server_takes_no_more_connections() -> None:
    with RedisServer("--maxclients", "10") as server, Proxy(server.uplink) as proxy, proxy.connect() as client:
        client.sendall(cmd("GET", "k"))
        assert client.recv(100) == b"$-1\r\n"
        with contextlib.ExitStack() as others:
            for _ in range(20):
                others.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(cmd("EVAL", "return 1", 0) + cmd("GET", "k"))
            client.settimeout(2)
            assert client.makefile("rb").read(9) == b":1\r\n$-1\r\n"


def test_scripts_leave_room_to_who_needs_a_connection_of_its_own() -> None:
    with RedisServer() as server, Proxy({**server.uplink, "max_pinned": 4}) as proxy, contextlib.ExitStack() as all_:
        clients = [all_.enter_context(proxy.connect()) for _ in range(12)]
        for client in clients:
            client.sendall(cmd("GET", "k") + cmd("EVAL", "return 1", 0) + cmd("GET", "k"))
        for client in clients:
            client.settimeout(2)
            assert client.makefile("rb").read(14) == b"$-1\r\n:1\r\n$-1\r\n"
        blocked = all_.enter_context(proxy.connect(0.9))
        blocked.sendall(cmd("BLPOP", "k", "0.01"))
        assert blocked.recv(100) == b"*-1\r\n"
