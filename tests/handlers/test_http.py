"""HTTP on the Redis port, in memory."""

from __future__ import annotations

import dataclasses
import time

import pytest

from redisproxy.resp import encode_command as cmd
from tests.wire import OK, Wire

POST = b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"
REQUEST = b"GET / HTTP/1.1\r\nAccept: */*\r\nHOST: x\r\n\r\n"


@pytest.mark.parametrize("data", [POST, REQUEST, cmd("post"), cmd("Host:", "x"), b" 'post'\r\n", b"HOST:\n"])
def test_a_paused_proxy_closes_it_at_once(wire: Wire, data: bytes) -> None:
    wire.pause()
    client = wire.client()
    client.send(data)
    assert client.closed and client.got() == b"" and wire.metrics.clients.closed["security"] == 1


@pytest.mark.parametrize(
    "data", [b"POST", b"POS\r\n", b'POST "/\r\n', b"GET / HTTP/1.1\r\n", cmd("GET", "post"), b"*1"]
)
def test_a_paused_proxy_holds_what_is_not(wire: Wire, data: bytes) -> None:
    wire.pause()
    client = wire.client()
    client.send(data)
    assert not client.closed and client.got() == b""


def test_a_command_in_pieces_is_still_whole_after_a_pause_has_looked_at_it(wire: Wire) -> None:
    wire.pause()
    client = wire.client()
    whole = cmd("SET", "key", "x" * 100)
    client.send(whole[:50])
    wire.unpause()
    client.send(whole[50:])
    assert wire.server.got() == whole


def test_it_does_not_wait_for_replies(wire: Wire) -> None:
    client = wire.client()
    client.send(cmd("GET", "a") + cmd("INCR", "b"))
    assert wire.server.got() == cmd("GET", "a") + cmd("INCR", "b")
    client.send(POST)
    assert client.closed and client.got() == b""
    wire.server.send(b"$-1\r\n:1\r\n")
    assert wire.gate.in_flight == 0


def test_nothing_behind_it_is_sent(wire: Wire) -> None:
    client = wire.client()
    client.send(cmd("GET", "a") + POST + cmd("SET", "stolen", "1"))
    assert client.closed and wire.server.got() == cmd("GET", "a")


def test_it_closes_inside_of_multi(wire: Wire) -> None:
    client = wire.client()
    client.send(cmd("MULTI"))
    wire.server.send(OK)
    assert client.got() == OK
    client.send(POST)
    assert client.closed and client.got() == b"" and wire.metrics.clients.closed["security"] == 1


def test_it_closes_before_the_password() -> None:
    client = Wire(password="secret").client()
    client.send(REQUEST)
    assert client.closed and client.got() == b""


def test_one_too_large_to_hold_closes_when_its_name_is_known(wire: Wire) -> None:
    wire.core.limits = dataclasses.replace(wire.core.limits, max_held_request_bytes=1024)
    client = wire.client()
    client.send(b"*2\r\n$4\r\nPOST\r\n$100000\r\n" + b"x" * 2000)
    assert client.closed and client.got() == b""


def test_looking_for_a_host_does_not_lose_the_place_in_a_large_command(wire: Wire) -> None:
    wire.core.limits = dataclasses.replace(wire.core.limits, max_held_request_bytes=1024)
    client = wire.client()
    large = cmd("MSET", "key", b"x" * 4000, "other", cmd("SET", "stolen", "1"))
    client.send(cmd("MULTI") + b"GET / HTTP/1.1\r\n" + large[:1500])
    wire.server.send(OK)
    wire.server.send(b"-ERR wrong number of arguments\r\n")
    client.send(large[1500:])
    sent = wire.server.got()
    assert sent == cmd("MULTI") + cmd("GET", "/", "HTTP/1.1") + large
    assert wire.gate.in_flight == 1


def test_many_request_lines_without_a_host_cost_no_more_than_other_commands() -> None:
    client = Wire(password="secret").client()
    began = time.process_time()
    client.send(b"GET / HTTP/1.1\r\n" * 12000)
    assert client.got().count(b"NOAUTH") == 12000 and time.process_time() - began < 4


def test_http_is_closed_without_a_word(wire: Wire) -> None:
    client = wire.client()
    client.send(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.closed and client.got() == b"" and wire.metrics.clients.closed["security"] == 1
