"""Attacks on a TLS port that strangers can reach: whatever they send, nobody else may notice."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from tests.end_to_end.harness import Certificates, Proxy, RedisServer, wait_until

MIB = 1048576
PASSWORD = "correct-horse"
AUTH = b"AUTH " + PASSWORD.encode() + b"\r\n"


@pytest.fixture
def guarded(server: RedisServer, certificates: Certificates) -> Iterator[Proxy]:
    limits = {"max_clients": 20}
    with Proxy(server.uplink, tls=certificates, listen_more={"pass": PASSWORD}, limits=limits) as running:
        yield running


def said_until_closed(sock: socket.socket) -> bytes:
    """Read everything until the proxy closes the connection."""
    heard = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while data := sock.recv(65536):
            heard += data
    return bytes(heard)


def ask(proxy: Proxy, *sent: bytes) -> bytes:
    """Send on a new connection; return what the proxy says until it closes."""
    with proxy.connect(10) as sock:
        for data in sent:
            sock.sendall(data)
        return said_until_closed(sock)


def serves(proxy: Proxy) -> bool:
    """Whether a client with the right password is served."""
    return bool(proxy.client(password=PASSWORD).ping())


def metric(proxy: Proxy, name: str) -> float:
    """The value of one line of /metrics."""
    lines = proxy.get("/metrics")[1].decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"*11\r\n", b"-ERR Protocol error: unauthenticated multibulk length\r\n"),
        (b"*2147483648\r\n", b"-ERR Protocol error: "),
        (b"*2\r\n$16385\r\n", b"-ERR Protocol error: unauthenticated bulk length\r\n"),
        (b"*2\r\n$4\r\nAUTH\r\n$536870912\r\n", b"-ERR Protocol error: unauthenticated bulk length\r\n"),
        (b"*1\r\n+PING\r\n", b"-ERR Protocol error: expected '$', got '+'\r\n"),
        (b"a" * 70000, b"-ERR Protocol error: too big inline request\r\n"),
        (b'AUTH "unbalanced\r\n', b"-ERR Protocol error: unbalanced quotes in request\r\n"),
    ],
)
def test_a_stranger_gets_the_limits_of_redis_and_is_closed(guarded: Proxy, sent: bytes, error: bytes) -> None:
    heard = ask(guarded, sent)
    assert heard.startswith(error), heard
    assert metric(guarded, 'redisproxy_clients_closed_total{reason="protocol_error"}') == 1
    assert serves(guarded)


def test_a_giant_header_after_the_password_reserves_no_memory(guarded: Proxy) -> None:
    before = guarded.rss()
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            sock = stack.enter_context(guarded.connect(10))
            sock.sendall(AUTH + b"*1048576\r\n$536870912\r\n")
            assert sock.recv(5) == b"+OK\r\n"
        assert serves(guarded)
        assert guarded.rss() - before < 16 * MIB


def test_a_web_page_cannot_post_commands(guarded: Proxy, server: RedisServer) -> None:
    body = b"SET stolen 1\r\n"
    post = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    heard = ask(guarded, post)
    assert b"+OK" not in heard
    assert server.client().get("stolen") is None
    assert serves(guarded)


def test_a_post_after_the_password_is_not_obeyed_either(guarded: Proxy, server: RedisServer) -> None:
    heard = ask(guarded, AUTH, b"Host: localhost\r\nSET stolen 1\r\n")
    assert heard in (b"", b"+OK\r\n")
    assert server.client().get("stolen") is None


def test_wrong_passwords_are_counted(guarded: Proxy) -> None:
    with guarded.connect(10) as sock:
        for guess in range(5):
            sock.sendall(b"AUTH guess-%d\r\n" % guess)
            assert sock.recv(1000).startswith(b"-WRONGPASS")
        sock.sendall(b"GET key\r\n")
        assert sock.recv(1000).startswith(b"-NOAUTH")
    assert metric(guarded, "redisproxy_auth_failures_total") == 5
    assert "guess-" not in guarded.log


@pytest.mark.parametrize("guess", [b"AUTH guess\r\n", b"AUTH nobody guess\r\n", b"HELLO 2 AUTH default guess\r\n"])
def test_guessing_passwords_ends_after_ten_on_a_connection(guarded: Proxy, guess: bytes) -> None:
    heard = ask(guarded, (guess + b"RESET\r\n") * 30)
    assert heard.count(b"-WRONGPASS") == 10
    assert metric(guarded, 'redisproxy_clients_closed_total{reason="failed_logins"}') == 1
    assert metric(guarded, "redisproxy_auth_failures_total") == 10
    assert serves(guarded)


def test_a_flood_of_connections_is_bounded_and_ends(guarded: Proxy) -> None:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(guarded.connect(10)) for _ in range(20)]
        for sock in held:
            sock.sendall(AUTH)
            assert sock.recv(5) == b"+OK\r\n"
        for _ in range(30):
            assert ask(guarded) == b"-ERR max number of clients reached\r\n"
        held[0].sendall(b"PING\r\n")
        assert held[0].recv(7) == b"+PONG\r\n"
    wait_until(lambda: metric(guarded, "redisproxy_clients_open") == 0, "every client has gone")
    assert metric(guarded, 'redisproxy_clients_closed_total{reason="max_clients"}') == 30
    assert serves(guarded)


def test_handshakes_that_never_end_keep_no_more_than_max_clients(guarded: Proxy) -> None:
    bare = [socket.create_connection(("127.0.0.1", guarded.port), 10) for _ in range(19)]
    for sock in bare:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")
    began = time.monotonic()
    assert serves(guarded)
    assert time.monotonic() - began < 2
    for sock in bare:
        sock.close()
    wait_until(lambda: metric(guarded, "redisproxy_clients_open") == 0, "every client has gone")


def test_a_connection_that_never_shakes_hands_ends_also_while_paused(
    server: RedisServer, certificates: Certificates
) -> None:
    with (
        Proxy(server.uplink, tls=certificates, limits={"handshake_timeout_ms": 500}) as proxy,
        proxy.connect(10) as client,
        socket.create_connection(("127.0.0.1", proxy.port), 10) as silent,
    ):
        proxy.do("pause")
        assert said_until_closed(silent) == b""
        client.sendall(b"PING\r\n")
        proxy.write(limits={"handshake_timeout_ms": 60000})
        proxy.do("reload")
        with socket.create_connection(("127.0.0.1", proxy.port), 1) as patient, pytest.raises(TimeoutError):
            patient.recv(1)
        proxy.do("unpause")
        assert client.recv(7) == b"+PONG\r\n"


def test_plain_text_on_the_tls_port_is_closed(guarded: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", guarded.port), 10) as bare:
        bare.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"PONG" not in said_until_closed(bare)
    assert serves(guarded)


def test_a_deeply_nested_reply_passes_or_is_refused_and_others_go_on(guarded: Proxy) -> None:
    nested = "local t = 1 for n = 1, 7000 do t = {t} end return t"
    command = b"*3\r\n$4\r\nEVAL\r\n$%d\r\n%b\r\n$1\r\n0\r\n" % (len(nested), nested.encode())
    with guarded.connect(10) as sock:
        sock.sendall(AUTH + command + b"QUIT\r\n")
        heard = said_until_closed(sock)
    assert heard.startswith(b"+OK\r\n")
    assert heard.endswith(b"+OK\r\n") and (heard.count(b"*1\r\n") == 7000 or b"-ERR" in heard)
    assert serves(guarded)


def test_an_open_admin_port_beyond_loopback_is_refused_at_start(server: RedisServer) -> None:
    proxy = Proxy(server.uplink, wait=False, admin={"addr": "0.0.0.0:1"})
    try:
        assert proxy.process.wait(30) != 0
        assert "anybody who reaches this address could pause the proxy" in proxy.log
    finally:
        proxy.__exit__()
