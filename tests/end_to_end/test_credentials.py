"""Passwords and certificates that change under way are taken without a move, in one process and in workers."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography import x509

from tests.end_to_end.harness import Certificates, Proxy, RedisServer, wait_until

pytestmark = pytest.mark.one_twin


class World:
    """A server whose user C{app} has a password that changes, and a proxy that is told it by a program."""

    def __init__(self, folder: Path, certificates: Certificates, workers: int) -> None:
        self.folder, self.certificates = folder, certificates
        self.server = RedisServer()
        self.admin = self.server.client()
        self.set_passwords("first")
        self.script("echo first")
        token = folder / "token"
        token.write_text(f"#!/bin/sh\n. {folder}/script\n")
        token.chmod(0o700)
        self.cert, self.key, self.passfile = (str(folder / name) for name in ("cert.pem", "key.pem", "passwords"))
        self.copy_certificate(certificates.cert, certificates.key)
        Path(self.passfile).write_text("for clients\n")
        uplink = {"user": "app", "passcommand": [str(token)], "pass_ttl_ms": 1200, "pass_timeout_ms": 10000}
        listen = {"tls": True, "certfile": self.cert, "keyfile": self.key, "passfile": self.passfile}
        more: dict[str, Any] = {"listen_more": listen, "run_directory": str(folder / "run")}
        more |= {"workers": workers} if workers > 1 else {}
        self.proxy = Proxy({"addr": f"127.0.0.1:{self.server.port}", **uplink}, wait=False, **more)
        wait_until(self.proxy._ready, "the proxy is ready", 60)
        self.proxy.tls = certificates  # for the clients of this class

    def set_passwords(self, *passwords: str) -> None:
        given = [f">{each}" for each in passwords]
        self.admin.execute_command("ACL", "SETUSER", "app", "on", "resetpass", *given, "~*", "&*", "+@all")

    def script(self, text: str) -> None:
        new = self.folder / "script.new"
        new.write_text(text + "\n")
        os.replace(new, self.folder / "script")

    def copy_certificate(self, cert: str, key: str, between: Callable[[], None] = lambda: None) -> None:
        shutil.copy(cert, f"{self.cert}.new")
        shutil.copy(key, f"{self.key}.new")
        os.replace(f"{self.cert}.new", self.cert)
        between()
        os.replace(f"{self.key}.new", self.key)

    def client(self, password: str = "for clients", **options: Any) -> redis.Redis:
        return self.proxy.client(password=password, single_connection_client=True, **options)

    def shown(self) -> int:
        """The serial number of the certificate that a new connection is shown."""
        context = ssl.create_default_context(cafile=self.certificates.ca)
        with (
            socket.create_connection(("127.0.0.1", self.proxy.port), 30) as bare,
            context.wrap_socket(bare, server_hostname="localhost") as wrapped,
        ):
            return x509.load_der_x509_certificate(wrapped.getpeercert(True) or b"").serial_number

    def authenticated(self) -> int:
        """How often somebody has authenticated at the server with AUTH."""
        return int(self.admin.info("commandstats").get("cmdstat_auth", {}).get("calls", 0))

    def metric(self, name: str) -> float:
        """The value of a metric, the smallest one if there are several."""
        text = self.proxy.get("/metrics")[1].decode()
        return min(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    def stop(self) -> None:
        self.proxy.__exit__()
        self.server.stop()


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two workers"])
def world(
    request: pytest.FixtureRequest, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("credentials"), certificates, request.param)
    yield made
    made.stop()


def serial(path: str) -> int:
    return x509.load_pem_x509_certificate(Path(path).read_bytes()).serial_number


def test_open_connections_are_authenticated_anew_in_between_commands(world: World) -> None:
    world.set_passwords("first", "second")
    plain, pinned, blocked = world.client(), world.client(), world.client()
    listener = world.client(protocol=3)
    got: list[object] = []
    waiting = threading.Thread(target=lambda: got.append(blocked.blpop(["nothing"], timeout=30)))
    waiting.start()
    transaction = pinned.pipeline()
    transaction.watch("watched")
    pinned_connection = transaction.connection
    assert pinned_connection is not None
    pinned_connection.send_command("MULTI")
    assert pinned_connection.read_response() == "OK"
    before = world.authenticated()
    world.script("echo second")
    number = 0

    def authenticated() -> bool:
        nonlocal number
        number += 1
        assert plain.incr("count") == number and listener.ping()
        return world.authenticated() > before

    wait_until(authenticated, "a connection was authenticated anew", 30)
    pinned_connection.send_command("SET", "a", "1")
    assert pinned_connection.read_response() == "QUEUED"
    pinned_connection.send_command("EXEC")
    assert pinned_connection.read_response() == ["OK"]
    world.admin.rpush("nothing", "x")
    waiting.join(30)
    assert got == [("nothing", "x")]
    world.set_passwords("second")
    assert pinned.ping() and plain.ping() and blocked.ping()


def test_a_new_connection_logs_in_with_the_new_password(world: World) -> None:
    client = world.client()
    world.set_passwords("third")
    world.script("echo third")
    world.admin.execute_command("CLIENT", "KILL", "USER", "app")

    clients = [client, *(world.client() for _ in range(5))]  # of each worker, which asks by itself

    def all_go_on() -> bool:
        try:
            return all(each.ping() for each in clients)
        except (redis.ConnectionError, redis.ResponseError):
            return False  # it was in flight when its connection was killed, or had the password before

    wait_until(all_go_on, "logins with the new password")


def test_a_program_that_fails_leaves_the_password_before_and_shows(world: World) -> None:
    world.script("echo third; echo that third is wrong >&2; exit 7")
    before = world.metric("redisproxy_uplink_password_failures_total")
    wait_until(lambda: world.metric("redisproxy_uplink_password_failures_total") > before, "it has failed", 30)
    assert world.client().ping() and world.proxy.info()["uplink"]["password_failures"] > before
    told = [line for line in world.proxy.log.splitlines() if "exit code 7" in line]
    assert told and all("third" not in line and "that [removed] is wrong" in line for line in told)
    assert world.proxy.config.get("workers", 1) + 1 >= len(told)
    world.script("echo third")
    wait_until(lambda: "it has printed a password again" in world.proxy.log, "it is well again", 30)


def test_two_passwords_are_right_while_one_takes_the_place_of_the_other(world: World) -> None:
    Path(world.passfile).write_text("for clients\nthe next one\n")
    assert world.client().ping() and world.client("the next one").ping()
    Path(world.passfile).write_text("the next one\n")
    assert world.client("the next one").ping()
    with pytest.raises(redis.AuthenticationError):
        world.client().ping()
    Path(world.passfile).write_text("")
    assert world.client("the next one").ping()
    Path(world.passfile).write_text("for clients\n")
    assert world.client().ping()


def test_a_certificate_is_replaced_under_handshakes_and_none_fails(world: World, tmp_path: Path) -> None:
    kept = world.client()
    assert kept.ping() and world.shown() == serial(world.cert)
    new = world.certificates.issue(tmp_path, "new", "localhost", "127.0.0.1")
    before, seen = serial(world.cert), []
    stop = threading.Event()

    def connect() -> None:
        while not stop.is_set():
            seen.append(world.shown())

    busy = threading.Thread(target=connect)
    busy.start()
    world.copy_certificate(*new, between=lambda: wait_until(lambda: len(seen) > 20, "handshakes in between"))
    wait_until(lambda: seen[-1] == serial(new[0]), "the new certificate is shown")
    stop.set()
    busy.join(30)
    assert set(seen) == {before, serial(new[0])} and seen == sorted(seen, key=lambda each: each != before)
    assert kept.ping()


def test_a_broken_file_keeps_the_one_before_is_told_once_and_shows(world: World) -> None:
    whole = Path(world.cert).read_text()
    failed = world.metric("redisproxy_credentials_reload_failed_total")
    Path(world.cert).write_text(whole[: len(whole) // 2])
    wait_until(lambda: world.metric("redisproxy_credentials_reload_failed_total") > failed, "it was told", 30)
    assert world.client().ping()
    files = {each["where"]: each for each in world.proxy.info()["credential_files"]}
    assert "certfile" in files["listen[0]"]["error"] and files["listen[0].passfile"]["error"] == ""
    (certificate,) = files["listen[0]"]["certificates"]
    assert certificate["file"] == "certfile" and certificate["expires_in_s"] > 0
    assert world.metric('redisproxy_certificate_expiry_seconds{key="certfile"') > 0
    assert world.proxy.log.count("listen[0]: certfile: ") == 1
    Path(world.cert).write_text(whole)
    wait_until(lambda: not world.proxy.info()["credential_files"][0]["error"], "it is well again")
    assert world.client().ping()


def test_no_page_and_no_log_has_a_password(world: World) -> None:
    shown = world.proxy.get("/info.json")[1].decode() + world.proxy.get("/")[1].decode() + world.proxy.log
    assert not any(word in shown for word in ("for clients", "the next one", "third"))
    assert json.loads(world.proxy.get("/info.json")[1])["config"]["uplink"]["passcommand"]
