"""HTTP that a web page or a tricked service sends to the Redis port gets what Redis gives it: mostly no answer."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest

from redisproxy.resp import encode_command
from tests.end_to_end.harness import Proxy, RedisServer, wait_until
from tests.end_to_end.test_attack import metric, said_until_closed

PASSWORD = "correct-horse"
AUTH = b"AUTH " + PASSWORD.encode() + b"\r\n"
CLOSED = 'redisproxy_clients_closed_total{reason="security"}'

REQUESTS = {
    "post": b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET stolen 1\r\n",
    "post-in-other-case": b"pOsT / HTTP/1.1\r\n",
    "host": b"Host: x\r\nSET stolen 1\r\n",
    "get": b"GET / HTTP/1.1\r\nHost: x\r\n\r\nSET stolen 1\r\n",
    "quoted": b'"POST" /\r\nSET stolen 1\r\n',
    "with-a-broken-header": b'POST / HTTP/1.1\r\nUser-Agent: "x\r\n\r\nSET stolen 1\r\n',
    "broken-itself": b'POST "/\r\nSET stolen 1\r\n',
    "multibulk": encode_command("post", "/") + encode_command("SET", "stolen", 1),
    "host-as-multibulk": encode_command("HOST:") + encode_command("SET", "stolen", 1),
    "put": b"PUT / HTTP/1.1\r\nHost: x\r\n\r\nSET stolen 1\r\n",
    "put-by-curl": b"PUT / HTTP/1.1\r\nHost: x\r\nUser-Agent: curl\r\nContent-Length: 14\r\n\r\nSET stolen 1\r\n",
    "host-last": b"DELETE /k HTTP/1.1\r\nAccept: */*\r\nHost: x\r\n\r\nSET stolen 1\r\n",
}
# What the client is and has been answered before: what it sends for that, and where the answer ends.
SITUATIONS = {
    "at once": (b"", b""),
    "in MULTI": (b"MULTI\r\nSET stolen 1\r\n", b"+QUEUED\r\n"),
    "subscribed": (b"SUBSCRIBE c\r\n", b":1\r\n"),
    "subscribed in RESP3": (b"HELLO 3\r\nSUBSCRIBE c\r\n", b"$1\r\nc\r\n:1\r\n"),
    "with a WATCH": (b"WATCH k\r\n", b"+OK\r\n+OK\r\n"),
    "muted": (b"PING\r\nCLIENT REPLY OFF\r\n", b"+PONG\r\n"),
    "skipped": (b"PING\r\nCLIENT REPLY SKIP\r\n", b"+PONG\r\n"),
}


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[RedisServer, RedisServer, Proxy]]:
    with (
        RedisServer(password=PASSWORD) as alone,
        RedisServer() as behind,
        Proxy(behind.uplink, listen_more={"pass": PASSWORD}, pubsub=True, log_messages=True) as proxy,
    ):
        yield alone, behind, proxy


def answer(port: int, before: bytes, until: bytes, request: bytes) -> bytes:
    """Send the request and return what comes back until the connection is closed."""
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        heard = b""
        if before:
            sock.sendall(before)
            while not heard.endswith(until):
                heard += sock.recv(65536)
        sock.sendall(request)
        return said_until_closed(sock)


@pytest.mark.parametrize("request_name", REQUESTS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_http_is_answered_as_by_redis(
    servers: tuple[RedisServer, RedisServer, Proxy], situation: str, request_name: str
) -> None:
    alone, behind, proxy = servers
    if request_name == "broken-itself" and situation in ("muted", "skipped"):
        pytest.skip("Redis waits for ever until it has sent the error, which it does not send")
    before, until = SITUATIONS[situation]
    request = REQUESTS[request_name]
    ours, theirs = (answer(port, AUTH + before, until or b"+OK\r\n", request) for port in (proxy.port, alone.port))
    assert ours == theirs
    assert behind.client().get("stolen") is None


@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_stranger_is_answered_as_by_redis(servers: tuple[RedisServer, RedisServer, Proxy], request_name: str) -> None:
    alone, _, proxy = servers
    ours, theirs = (answer(port, b"", b"", REQUESTS[request_name]) for port in (proxy.port, alone.port))
    assert ours == theirs


def test_nothing_of_it_is_in_the_log(servers: tuple[RedisServer, RedisServer, Proxy]) -> None:
    proxy = servers[2]
    before, logged = metric(proxy, CLOSED), len(proxy.log)
    answer(proxy.port, AUTH, b"+OK\r\n", b"POST /secret-path HTTP/1.1\r\nCookie: secret\r\n\r\nsecret-body\r\n")
    wait_until(lambda: "(security)" in proxy.log[logged:], "it is logged")
    assert metric(proxy, CLOSED) == before + 1
    assert "secret" not in proxy.log[logged:] and "sent HTTP to the Redis port" in proxy.log[logged:]


@pytest.mark.parametrize("request_name", ["post", "host", "get", "quoted", "multibulk", "host-as-multibulk"])
def test_a_paused_proxy_closes_it_too(server: RedisServer, proxy: Proxy, request_name: str) -> None:
    with proxy.connect(5) as held:
        proxy.do("pause")
        held.sendall(b"INCR held\r\nPOST / HTTP/1.1\r\n\r\n")
        assert answer(proxy.port, b"", b"", REQUESTS[request_name]) == b""
        proxy.do("unpause")
        assert said_until_closed(held) in (b"", b":1\r\n")
    wait_until(lambda: server.client().get("held") == "1", "what came before it is obeyed, as by Redis")
    assert server.client().get("stolen") is None


def test_it_is_closed_while_replies_are_outstanding(server: RedisServer, proxy: Proxy) -> None:
    with contextlib.closing(proxy.connect(5)) as sock, proxy.client() as other:
        server.client().client_pause(500)
        sock.sendall(b"INCR before\r\n")
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert said_until_closed(sock) == b""
        server.client().client_unpause()
        assert other.get("before") == "1"
        assert other.ping()
