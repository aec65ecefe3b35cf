"""Moving live clients between real Redis servers."""

from __future__ import annotations

import threading
import time

import pytest
import redis

from tests.end_to_end.harness import Certificates, Load, Proxy, RedisServer, wait_until


def move(proxy: Proxy, old: RedisServer, new: RedisServer) -> None:
    """Switch by hand as the documents say: pause, catch up, promote, reload, unpause."""
    proxy.do("pause-and-wait")
    wait_until(lambda: new.caught_up_with(old), "the replica has caught up")
    new.promote()
    proxy.write(uplink=new.uplink)
    proxy.do("reload")
    proxy.do("unpause")


def switch_under_load(proxy: Proxy, old: RedisServer, new: RedisServer, clients: int = 50) -> None:
    with Load(proxy, clients) as load:
        total = proxy.info()["clients"]["total"]
        new.follow(old)
        time.sleep(0.3)
        move(proxy, old, new)
        moved = [client.done for client in load.clients]
        wait_until(
            lambda: all(now.done > before or now.problem for now, before in zip(load.clients, moved, strict=True)),
            "every client goes on",
        )
    load.check(new)
    info = proxy.info()
    assert info["clients"]["total"] == total and info["clients"]["closed"] == {} and info["in_flight"] == 0
    assert not any(old.client().get(client.key) == new.client().get(client.key) for client in load.clients)


def test_fifty_pipelining_clients_notice_nothing(server: RedisServer, other: RedisServer, proxy: Proxy) -> None:
    switch_under_load(proxy, server, other)


def test_the_same_with_a_connection_for_each_client(server: RedisServer, other: RedisServer) -> None:
    with Proxy({**server.uplink, "multiplex": False}) as proxy:
        real = other.uplink
        other_uplink = {**real, "multiplex": False}
        with Load(proxy, 50) as load:
            other.follow(server)
            proxy.do("pause-and-wait")
            wait_until(lambda: other.caught_up_with(server), "the replica has caught up")
            other.promote()
            proxy.write(uplink=other_uplink)
            proxy.do("reload")
            proxy.do("unpause")
            time.sleep(0.5)
        load.check(other)
        assert proxy.info()["clients"]["closed"] == {}


def test_the_same_over_tls_on_both_legs(certificates: Certificates) -> None:
    with (
        RedisServer(tls=certificates, password="one") as old,
        RedisServer(tls=certificates, password="one") as new,
        Proxy(old.uplink, tls=certificates) as proxy,
    ):
        switch_under_load(proxy, old, new)


def test_a_hangup_moves_clients_too(server: RedisServer, other: RedisServer, proxy: Proxy) -> None:
    client = proxy.client()
    client.set("where", "old")
    other.client().set("where", "new")
    proxy.write(uplink=other.uplink)
    proxy.hup()
    wait_until(lambda: proxy.info()["uplink"]["address"].endswith(str(other.port)), "the hangup was heard")
    assert client.get("where") == "new" and proxy.info()["last_reload"]["ok"]


def test_a_rejected_reload_changes_nothing_and_says_why(server: RedisServer, proxy: Proxy) -> None:
    client = proxy.client()
    client.set("a", 1)
    good = dict(proxy.config["uplink"])
    proxy.write(uplink={"addr": "127.0.0.1:1"})
    status, answer = proxy.admin("reload")
    assert status == 400 and "uplink" in answer["error"]
    proxy.write(uplink=good, listen={"addr": "127.0.0.1:1"})
    status, answer = proxy.admin("reload")
    assert status == 400 and "listen" in answer["error"] and "restart" in answer["error"]
    proxy.path.write_text("{")
    status, answer = proxy.admin("reload")
    assert status == 400 and "not JSON" in answer["error"]
    assert client.get("a") == "1" and proxy.info()["state"] == "running"
    assert not proxy.info()["last_reload"]["ok"] and "rejected" in proxy.log


def test_a_wrong_password_of_the_new_uplink_is_a_rejection(server: RedisServer, proxy: Proxy) -> None:
    with RedisServer(password="right") as locked:
        proxy.write(uplink={**locked.uplink, "pass": "wrong"})
        status, answer = proxy.admin("reload")
        assert status == 400 and "WRONGPASS" in answer["error"]
        assert "wrong" not in proxy.log.lower().replace("wrongpass", "")
        proxy.write(uplink=locked.uplink)
        proxy.do("reload")
        assert proxy.client().ping()


def test_sessions_keep_their_database_name_and_version(server: RedisServer, other: RedisServer, proxy: Proxy) -> None:
    client = proxy.client(db=7, protocol=3, client_name="me", single_connection_client=True)
    client.hset("h", "a", "b")
    number = client.client_id()
    other.client(db=7).hset("h", "a", "c")
    proxy.write(uplink=other.uplink)
    proxy.do("reload")
    assert client.hgetall("h") == {"a": "c"}
    assert client.client_id() == number and client.client_getname() == "me"


def test_a_worker_blocked_in_blpop_goes_on_at_the_new_server(
    server: RedisServer, other: RedisServer, proxy: Proxy
) -> None:
    got: list[object] = []
    worker = threading.Thread(target=lambda: got.append(proxy.client().blpop("queue", timeout=0)))
    worker.start()
    wait_until(lambda: proxy.info()["in_flight"] == 1, "the worker blocks")
    proxy.write(uplink=other.uplink)
    assert proxy.do("reload")["dropped"] == []
    proxy.client().lpush("queue", "job")
    worker.join(10)
    assert got == [("queue", "job")] and other.client().llen("queue") == 0


def test_an_open_transaction_goes_on_and_a_watch_fails(server: RedisServer, other: RedisServer, proxy: Proxy) -> None:
    sock = proxy.connect()
    file = sock.makefile("rb")

    def ask(line: bytes) -> bytes:
        sock.sendall(line + b"\r\n")
        return file.readline()

    assert [ask(b"MULTI"), ask(b"INCR n")] == [b"+OK\r\n", b"+QUEUED\r\n"]
    watching = proxy.client().pipeline()
    watching.watch("w")
    proxy.write(uplink=other.uplink)
    proxy.do("reload")
    assert ask(b"INCR n") == b"+QUEUED\r\n"
    assert [ask(b"EXEC"), file.readline(), file.readline()] == [b"*2\r\n", b":1\r\n", b":2\r\n"]
    assert other.client().get("n") == "2" and server.client().get("n") is None
    watching.multi()
    watching.set("w", 1)
    with pytest.raises(redis.WatchError):
        watching.execute()
    sock.close()


def test_the_sessions_own_commands_in_an_open_transaction_keep_their_places(
    server: RedisServer, other: RedisServer, proxy: Proxy
) -> None:
    connection = proxy.client(protocol=2).connection_pool.get_connection()

    def ask(*command: str) -> object:
        connection.send_command(*command)
        return connection.read_response()

    assert ask("MULTI") == "OK"
    assert {ask("INCR", "n"), ask("CLIENT", "SETNAME", "one"), ask("CLIENT", "GETNAME")} == {"QUEUED"}
    proxy.write(uplink=other.uplink)
    proxy.do("reload")
    assert {ask("LRANGE", "none", "0", "-1"), ask("CLIENT", "SETNAME", "two"), ask("INCR", "n")} == {"QUEUED"}
    assert ask("EXEC") == [1, "OK", "one", [], "OK", 2]
    assert ask("CLIENT", "GETNAME") == "two" and other.client().get("n") == "2"


def test_a_reload_while_paused_takes_the_file_and_stays_paused(
    server: RedisServer, other: RedisServer, proxy: Proxy
) -> None:
    proxy.do("pause-and-wait")
    proxy.write(uplink=other.uplink)
    assert proxy.do("reload")["state"] == "paused"
    assert proxy.info()["state"] == "paused"
    proxy.do("unpause")
    proxy.client().set("here", 1)
    assert other.client().get("here") == "1"


def test_new_certificates_serve_new_connections_at_once(certificates: Certificates, tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    renewed = Certificates(folder / "renewed")
    with RedisServer() as server, Proxy(server.uplink, tls=certificates) as proxy:
        old = proxy.client(single_connection_client=True)
        old.set("a", 1)
        proxy.write(listen={**proxy.config["listen"], "certfile": renewed.cert, "keyfile": renewed.key})
        answer = proxy.do("reload")
        assert set(answer["changed"]) == {"listen[0].certfile", "listen[0].keyfile"}
        assert old.get("a") == "1"
        with pytest.raises(redis.ConnectionError):
            proxy.client().ping()
        proxy.tls = renewed
        assert proxy.client().get("a") == "1"
