"""MONITOR through the proxy: as by a Redis, and across a move."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Iterator

import pytest

from redisproxy.resp import encode_command
from tests.end_to_end.harness import Load, Proxy, RedisServer, redis_6, redis_8, redis_program, valkey_9

LINE = re.compile(rb"\+\d+\.\d{6} \[[^\r\n]*\r\n")


@pytest.fixture(params=[redis_6, redis_program, redis_8, valkey_9])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[RedisServer, Proxy]]:
    with (
        RedisServer(program=request.param()) as server,
        Proxy(server.uplink, allow_commands=["MONITOR"]) as proxy,
    ):
        yield server, proxy


def heard_until(sock: socket.socket, end: bytes) -> bytes:
    """Read everything up to `end`."""
    heard = b""
    while end not in heard:
        piece = sock.recv(65536)
        assert piece, heard
        heard += piece
    return heard


@pytest.mark.parametrize("version", [2, 3])
def test_replies_between_the_lines_are_those_of_the_server(pair: tuple[RedisServer, Proxy], version: int) -> None:
    server, proxy = pair
    talk = "MONITOR; MONITOR; PING; PING x; GET k; SET k v; ECHO hello; PUBLISH c m; CLIENT GETNAME; RESET; PING end"
    data = encode_command("HELLO", version) + b"".join(encode_command(*shlex.split(each)) for each in talk.split(";"))
    answers = []
    for port in (server.port, proxy.port):
        with socket.create_connection(("127.0.0.1", port), 10) as sock:
            sock.sendall(data)
            heard = LINE.sub(b"", heard_until(sock, b"$3\r\nend\r\n"))
            answers.append(heard[heard.index(b"+OK\r\n") :])
    assert answers[1] == answers[0]


def test_it_shows_what_others_do_and_harms_nobody(pair: tuple[RedisServer, Proxy]) -> None:
    server, proxy = pair
    with proxy.connect() as sock, Load(proxy, 10) as load:
        sock.sendall(b"MONITOR\r\n")
        heard_until(sock, b'"INCR"')
    load.check(server)


def test_it_moves_with_the_proxy(server: RedisServer, other: RedisServer) -> None:
    with Proxy(server.uplink, allow_commands=["MONITOR"]) as proxy, proxy.connect() as sock, proxy.client() as client:
        sock.sendall(b"MONITOR\r\n")
        heard = heard_until(sock, b"+OK\r\n")
        client.set("before", 1)
        heard += heard_until(sock, b'"SET" "before" "1"\r\n')
        proxy.write(uplink=other.uplink)
        proxy.do("reload")
        client.set("after", 1)
        heard += heard_until(sock, b'"SET" "after" "1"\r\n')
        assert heard.count(b"+OK\r\n") == 1 and LINE.sub(b"", heard) == b"+OK\r\n"
        sock.sendall(b"RESET\r\nGET after\r\n")
        assert heard_until(sock, b"$1\r\n1\r\n").endswith(b"+RESET\r\n$1\r\n1\r\n")


def test_a_switchover_shows_no_command_twice(server: RedisServer, other: RedisServer) -> None:
    with Proxy(server.uplink, allow_commands=["MONITOR"]) as proxy, proxy.connect() as sock, proxy.client() as client:
        sock.sendall(b"MONITOR\r\n")
        heard_until(sock, b"+OK\r\n")
        for number in range(100):
            client.set("number", number)
            if number == 50:
                proxy.write(uplink=other.uplink)
                proxy.do("switchover")
        heard = heard_until(sock, b'"SET" "number" "99"\r\n')
        shown = [int(each) for each in re.findall(rb'"SET" "number" "(\d+)"', heard)]
        assert shown == list(range(100))
