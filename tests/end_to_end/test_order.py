"""What one client sends before another has its effect before it, as on Redis, whatever connections they are on."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from redisproxy.resp import encode_command as cmd
from tests.end_to_end.harness import Load, Proxy, RedisServer

ROUNDS = 150
MOMENT_S = 0.001


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with RedisServer() as server, Proxy(server.uplink, pubsub=True) as proxy:
        yield proxy


@pytest.fixture
def first(proxy: Proxy) -> Iterator[socket.socket]:
    with proxy.connect() as sock:
        yield sock


@pytest.fixture
def second(proxy: Proxy) -> Iterator[socket.socket]:
    with proxy.connect() as sock:
        yield sock


@pytest.fixture(autouse=True)
def others(proxy: Proxy) -> Iterator[None]:
    """Keep the shared connection busy with other clients."""
    with Load(proxy, clients=8):
        yield


def read(sock: socket.socket, ending: bytes) -> bytes:
    data = b""
    while not data.endswith(ending):
        more = sock.recv(65536)
        assert more, data
        data += more
    return data


def test_a_message_does_not_reach_who_has_unsubscribed_before(first: socket.socket, second: socket.socket) -> None:
    for at in range(ROUNDS):
        first.sendall(cmd("SUBSCRIBE", "c"))
        read(first, b":1\r\n")
        first.sendall(cmd("UNSUBSCRIBE", "c"))
        time.sleep(MOMENT_S)
        second.sendall(cmd("PUBLISH", "c", f"m{at}"))
        assert read(second, b"\r\n") == b":0\r\n", "nobody got it"
        assert b"message" not in read(first, b":0\r\n")


@pytest.mark.parametrize("own", [False, True])
def test_an_entry_is_new_to_who_has_waited_for_new_ones_before(
    first: socket.socket, second: socket.socket, own: bool
) -> None:
    if own:  # a connection of its own, because it has run a script
        first.sendall(cmd("EVAL", "return 1", 0))
        read(first, b":1\r\n")
    for at in range(1, ROUNDS):
        stream, entry = f"s{own}", f"{at}-0"
        first.sendall(cmd("XREAD", "BLOCK", 3000, "STREAMS", stream, "$"))
        time.sleep(MOMENT_S)
        second.sendall(cmd("XADD", stream, entry, "f", "v"))
        read(second, b"\r\n")
        assert entry.encode() in read(first, b"\r\nv\r\n")
