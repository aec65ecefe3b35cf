"""Switchovers between servers that are reached in different ways, with different users and passwords."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis

from tests.end_to_end.harness import Certificates, Load, Proxy, RedisServer, free_port, redis_program, valkey_9

DBS = (0, 1, 9, 15)
SETTINGS = ("masteruser", "masterauth", "tls-replication", "min-replicas-to-write", "min-replicas-max-lag")


@pytest.fixture
def plain(certificates: Certificates) -> Iterator[RedisServer]:
    """A server with a plain port that can speak TLS as a replica."""
    with RedisServer(*certificates.options, password="plain-one") as running:
        yield running


@pytest.fixture
def unix(certificates: Certificates) -> Iterator[RedisServer]:
    """A server that the proxy reaches over a socket, and a replica over TCP."""
    with RedisServer(*certificates.options, password="unix-one", unix=True) as running:
        yield running


@pytest.fixture
def unix_with_tls(certificates: Certificates) -> Iterator[RedisServer]:
    """A server that the proxy reaches over a socket, and a replica only over TLS."""
    with RedisServer(tls=certificates, password="both-one", unix=True) as running:
        yield running


@pytest.fixture
def tls(certificates: Certificates) -> Iterator[RedisServer]:
    """A server that wants TLS and a client certificate."""
    with RedisServer(tls=certificates, password="tls-one", demand_certificates=True) as running:
        yield running


def user(server: RedisServer, name: str, *commands: str) -> dict[str, Any]:
    """An ACL user of that name; the uplink section with it."""
    rights = list(commands) or ["+@all"]
    server.client().acl_setuser(name, enabled=True, passwords=[f"+of-{name}"], keys=["*"], commands=rights)
    return {**server.uplink, "user": name, "pass": f"of-{name}"}


def settings(server: RedisServer) -> dict[str, Any]:
    return dict(server.client().config_get(*SETTINGS))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("old_name", "new_name", "old_user", "new_user"),
    [
        ("plain", "unix", "alice", ""),
        ("unix", "tls", "", "bob"),
        ("tls", "plain", "", "bob"),
        ("unix_with_tls", "tls", "alice", "bob"),
    ],
)
def test_there_and_back_between_transports(
    request: pytest.FixtureRequest, old_name: str, new_name: str, old_user: str, new_user: str
) -> None:
    old: RedisServer = request.getfixturevalue(old_name)
    new: RedisServer = request.getfixturevalue(new_name)
    ways = [user(server, name) if name else server.uplink for server, name in ((old, old_user), (new, new_user))]
    for db in DBS:
        old.client(db=db).set("here", db)
    before = settings(old), settings(new)
    with Proxy(ways[0]) as proxy:
        with Load(proxy, 10) as load:
            for way, server in ((ways[1], new), (ways[0], old)):
                proxy.write(uplink=way)
                report = proxy.do("switchover")["report"]
                assert report["result"] == "done" and report["warnings"] == [], report
                time.sleep(0.1)
                assert [server.client(db=db).get("here") for db in DBS] == [str(db) for db in DBS]
        load.check(old)
        assert settings(old) == before[0], "what replication needed has been set back"
        assert settings(new) == {**before[1], "min-replicas-to-write": "1000000000"}
        secrets = [str(way["pass"]) for way in ways]
        assert not any(secret in proxy.log or secret in str(proxy.info()) for secret in secrets)


def refused(proxy: Proxy, old: RedisServer, new: RedisServer, way: dict[str, Any], **more: Any) -> str:
    """Try a switchover that has to be refused, check that nothing has changed, and return the reason."""
    before = [server.client().config_get() for server in (old, new)]
    proxy.write(uplink=way, **more)
    status, answer = proxy.admin("switchover")
    assert status == 400 and answer["report"]["result"] == "refused", answer
    assert [server.client().config_get() for server in (old, new)] == before
    assert [server.client().role()[0] for server in (old, new)] == ["master", "master"]
    assert proxy.client().set("still", "here")
    error: str = answer["error"]
    return error


def test_a_server_without_a_tcp_port_can_not_be_replicated_from() -> None:
    with RedisServer(unix=True, tcp=False) as old, RedisServer() as new, Proxy(old.uplink) as proxy:
        assert "listens on no TCP port" in refused(proxy, old, new, new.uplink)
        old.client().config_set("port", free_port())
        proxy.write(uplink=new.uplink)
        assert proxy.do("switchover")["report"]["result"] == "done"
        assert new.client().get("still") == "here"


def test_the_same_server_over_its_socket_is_refused() -> None:
    with RedisServer(unix=True) as server, Proxy({"addr": f"127.0.0.1:{server.port}"}) as proxy:
        assert "the same one; a reload changes the way" in refused(proxy, server, server, server.uplink)


@pytest.mark.parametrize("program", [redis_program, valkey_9], ids=["no certificates", "built without TLS"])
def test_a_new_server_without_tls_replicates_from_a_plain_port_or_is_refused(
    certificates: Certificates, program: Callable[[], str]
) -> None:
    with RedisServer(tls=certificates) as old, RedisServer(program=program()) as new, Proxy(old.uplink) as proxy:
        told = refused(proxy, old, new, new.uplink)
        assert "can't replicate over TLS" in told and "replicate_over_tls" in told
        port = free_port()
        old.client().config_set("port", port)
        way = {"replicate_from": f"127.0.0.1:{port}", "replicate_over_tls": False}
        proxy.write(uplink=new.uplink, switchover=way)
        assert proxy.do("switchover")["report"]["result"] == "done"
        assert new.client().get("still") == "here"


def test_who_may_not_replicate_is_told_beforehand(plain: RedisServer, other: RedisServer) -> None:
    way = user(plain, "clerk", "+@all", "-psync")
    with Proxy(way) as proxy:
        assert "permissions to run the 'psync' command" in refused(proxy, plain, other, other.uplink)
        wrong = {"replication_user": "nobody", "replication_pass": "wrong-one"}
        told = refused(proxy, plain, other, other.uplink, switchover=wrong)
        assert "WRONGPASS" in told and "replication_user" in told and "wrong-one" not in told + proxy.log
        user(plain, "copyist", "+psync", "+replconf", "+ping")
        proxy.write(switchover={"replication_user": "copyist", "replication_pass": "of-copyist"})
        assert proxy.do("switchover")["report"]["result"] == "done"
        assert other.client().get("still") == "here"
        assert other.client().config_get("master*") == {"masteruser": "", "masterauth": ""}


def test_a_new_server_that_may_not_be_made_a_replica_keeps_no_password(plain: RedisServer, other: RedisServer) -> None:
    with Proxy(plain.uplink) as proxy:
        before = settings(other)
        proxy.write(uplink=user(other, "clerk", "+@all", "-replicaof"))
        status, answer = proxy.admin("switchover")
        assert status == 409 and answer["report"]["step"] == "replicate", answer
        assert "no permissions" in answer["error"] and "may still" not in answer["error"]
        assert settings(other) == before and proxy.client().set("a", 1)


def test_writers_that_bypass_the_proxy_get_an_error_and_lose_nothing(unix: RedisServer, plain: RedisServer) -> None:
    """Plain writes, transactions and scripts, over TCP and the socket: what was acknowledged is at the new server."""
    with ExitStack() as stack, Proxy(unix.uplink) as proxy:
        writers = [
            stack.enter_context(Bypass(unix, f"{way}:{kind}", kind, way))
            for way in ("tcp", "socket")
            for kind in ("push", "multi", "script")
        ]
        time.sleep(0.2)
        proxy.write(uplink=plain.uplink)
        assert proxy.do("switchover")["report"]["result"] == "done"
        for writer in writers:
            writer.join(10)
            assert not writer.is_alive() and writer.count > 0 and "NOREPLICAS" in writer.error, writer.error
            assert plain.client().lrange(writer.key, 0, -1) == [str(number) for number in range(writer.count)]


class Bypass(threading.Thread):
    """Writes 0, 1, 2, ... to a list on the server itself until it gets an error.

    @ivar count: how many were acknowledged.
    """

    def __init__(self, server: RedisServer, key: str, kind: str, way: str) -> None:
        super().__init__(daemon=True)
        self.key = key
        self.count = 0
        self.error = ""
        self._kind = kind
        self._client = server.client(**({"unix_socket_path": server.unix} if way == "socket" else {}))

    def run(self) -> None:
        while not self.error:
            try:
                self._write()
                self.count += 1
            except redis.ResponseError as error:
                self.error = str(error)

    def _write(self) -> None:
        if self._kind == "push":
            self._client.rpush(self.key, self.count)
        elif self._kind == "script":
            self._client.eval("return redis.call('RPUSH', KEYS[1], ARGV[1])", 1, self.key, self.count)
        else:
            with self._client.pipeline(transaction=True) as pipe:
                pipe.rpush(self.key, self.count)
                pipe.execute()

    def __enter__(self) -> Bypass:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.error = self.error or "stopped"
