"""Head-of-line blocking: beside clients that ask for much, one client waits no longer than on Redis itself."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from redisproxy.resp import encode_command as cmd
from tests.end_to_end.harness import Proxy, RedisServer

pytestmark = pytest.mark.one_twin

CLIENTS, ASKS = 20, 300
VALUE = b"x" * 100_000
PROBE_S = 1.5
MARGIN_S = 0.4
"""What a shared machine adds now and then, whoever answers. All these pipelines in one queue take seconds."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        server.client().set("big", VALUE)
        yield server


@pytest.fixture(scope="module")
def proxy(server: RedisServer) -> Iterator[Proxy]:
    with Proxy(server.uplink) as proxy:
        yield proxy


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 60)


def longest_wait(sock: socket.socket, seconds: float = PROBE_S) -> float:
    """Ask again and again; return the longest time until an answer, in seconds."""
    longest, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        sock.sendall(cmd("PING"))
        assert sock.recv(100) == b"+PONG\r\n"
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.005)
    return longest


class Floods:
    """Clients that ask for many large values and do not read them.

    @ivar socks: their connections; what each has asked for ends with its number.
    """

    def __init__(self, port: int) -> None:
        self._stack = ExitStack()
        self.socks = [self._stack.enter_context(connect(port)) for _ in range(CLIENTS)]
        for number, sock in enumerate(self.socks):
            sock.sendall(cmd("GET", "big") * ASKS + cmd("ECHO", number))  # 7 KB: the sockets hold that

    def read(self, number: int) -> None:
        """Read everything, and check that it is what was asked for."""
        file = self.socks[number].makefile("rb")
        for _ in range(ASKS):
            assert file.readline() == b"$100000\r\n" and file.read(len(VALUE) + 2) == VALUE + b"\r\n"
        length = len(str(number))
        assert file.read(length + 6) == b"$%d\r\n%d\r\n" % (length, number)

    def __enter__(self) -> Floods:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def beside_floods(port: int) -> float:
    with connect(port) as probe, Floods(port):
        return longest_wait(probe)


def beside_readers(port: int) -> float:
    """Measure the same beside clients that read, and then ask again."""
    stop = threading.Event()

    def flood() -> None:
        with connect(port) as sock:
            while not stop.is_set():
                sock.sendall(cmd("GET", "big") * ASKS)
                left = ASKS * len(b"$100000\r\n" + VALUE + b"\r\n")
                while left:
                    left -= len(sock.recv(min(left, 1 << 20)))

    floods = [threading.Thread(target=flood) for _ in range(CLIENTS)]
    for each in floods:
        each.start()
    try:
        with connect(port) as probe:
            return longest_wait(probe)
    finally:
        stop.set()
        for each in floods:
            each.join()


def test_others_wait_for_clients_that_do_not_read_no_longer_than_at_redis(server: RedisServer, proxy: Proxy) -> None:
    direct = beside_floods(server.port)
    assert beside_floods(proxy.port) <= direct + MARGIN_S


def test_others_wait_for_clients_that_read_as_fast_as_they_can_about_as_long_as_at_redis(
    server: RedisServer, proxy: Proxy
) -> None:
    direct = beside_readers(server.port)
    assert beside_readers(proxy.port) <= 2 * direct + MARGIN_S


def test_clients_that_read_late_get_everything_in_order(proxy: Proxy) -> None:
    with connect(proxy.port) as probe, Floods(proxy.port) as floods:
        longest_wait(probe, 0.3)
        for number in range(CLIENTS):
            floods.read(number)
    assert proxy.info()["in_flight"] == 0


def mixed_pipeline() -> bytes:
    """Make a pipeline of scripts, small and large values, errors, databases and transactions."""
    script = "redis.call('INCR', KEYS[1]) return {KEYS[1], ARGV[1], redis.call('GET', KEYS[1])}"
    sha = hashlib.sha1(script.encode()).hexdigest()
    parts = [cmd("EVAL", script, 1, "n", "first")]
    for number in range(400):
        parts.append(cmd("EVALSHA", sha, 1, "n", number))
        parts.append(cmd("GET", "n") if number % 3 else cmd("GET", "big"))
        if number % 50 == 0:
            parts += [cmd("EVALSHA", "f" * 40, 0), cmd("MULTI"), cmd("EVALSHA", sha, 1, "n", "in"), cmd("EXEC")]
        if number % 60 == 0:
            parts += [cmd("SELECT", 1), cmd("EVALSHA", sha, 1, "n", "db 1"), cmd("GET", "n"), cmd("SELECT", 0)]
    return b"".join(parts)


def answers(port: int, data: bytes) -> bytes:
    """Send the pipeline and return its replies, up to a mark at its end."""
    with connect(port) as sock:
        sender = threading.Thread(target=sock.sendall, args=(data + cmd("ECHO", "the end"),))
        sender.start()
        got = bytearray()
        while not got.endswith(b"$7\r\nthe end\r\n"):
            chunk = sock.recv(1 << 20)
            assert chunk, bytes(got[-200:])
            got += chunk
        sender.join()
        return bytes(got)


def test_pipelines_with_scripts_are_answered_byte_for_byte_as_by_redis(server: RedisServer, proxy: Proxy) -> None:
    data, found = mixed_pipeline(), []
    for port in (server.port, proxy.port):
        server.client().delete("n")
        server.client(db=1).delete("n")
        found.append(answers(port, data))
    assert found[0] == found[1]
