"""Clients handed over from one data plane to another, one test for each state that a connection can be in."""

from __future__ import annotations

import pytest

from redisproxy.resp import encode_command as cmd
from tests.dataplane.planes import LIMIT_S, Planes
from tests.wire import OK

GET = cmd("GET", "a")
VALUE = b"$1\r\nx\r\n"


@pytest.fixture
def planes() -> Planes:
    return Planes()


def test_an_idle_client_goes_on_at_the_other_data_plane(planes: Planes) -> None:
    client = planes.client()
    client.send(GET)
    planes.old.server.send(VALUE)
    assert client.got() == VALUE
    planes.hand_over(client)
    assert len(planes.old.registry) == 0 and len(planes.new.registry) == 1
    before = len(planes.servers)
    client.send(GET)
    assert len(planes.servers) == before + 1 and planes.new.server.got() == GET
    planes.new.server.send(VALUE)
    assert client.got() == VALUE and not client.closed
    planes.nothing_is_left()


def test_one_that_has_never_sent_anything_goes_on(planes: Planes) -> None:
    client = planes.client()
    planes.hand_over(client)
    assert client.ask("CLIENT", "ID") == b":1\r\n"


@pytest.mark.parametrize("cut", range(1, len(GET)))
def test_half_a_command_is_read_on(planes: Planes, cut: int) -> None:
    client = planes.client()
    client.send(GET[:cut])
    planes.hand_over(client)
    client.send(GET[cut:] + GET)
    assert planes.new.server.got() == GET + GET
    planes.new.server.send(VALUE + VALUE)
    assert client.got() == VALUE + VALUE


def test_replies_that_were_not_sent_come_before_later_ones(planes: Planes) -> None:
    client = planes.client()
    client.send(GET)
    client.transport.full = True
    planes.old.server.send(VALUE)
    assert client.got() == b""
    planes.hand_over(client)
    assert client.got() == VALUE
    assert client.ask("CLIENT", "ID") == b":1\r\n"


def test_replies_that_are_outstanding_come_first_and_what_arrives_meanwhile_waits(planes: Planes) -> None:
    client = planes.client()
    client.send(GET)
    server = planes.old.server
    planes.begin(client)
    client.send(cmd("GET", "b"))
    planes.poll()
    assert planes.staying is None and server.got() == GET
    server.send(VALUE)
    planes.poll()
    planes.done()
    assert client.got() == VALUE
    assert planes.new.server is not server and planes.new.server.got() == cmd("GET", "b")
    planes.new.server.send(VALUE)
    assert client.got() == VALUE
    planes.nothing_is_left()


def test_one_that_gets_no_reply_in_time_stays_and_goes_on(planes: Planes) -> None:
    client = planes.client()
    client.send(GET)
    server = planes.old.server
    planes.begin(client)
    client.send(cmd("GET", "b"))
    planes.old.advance(LIMIT_S)
    assert planes.staying == {client.inside: "it waits for replies"}
    server.send(VALUE)
    assert server.got() == GET + cmd("GET", "b")
    assert client.got() == VALUE and list(planes.old.registry) == [client.inside]
    planes.nothing_is_left()


def test_all_that_client_list_shows_stays(planes: Planes) -> None:
    client = planes.client(("HELLO", 3), ("CLIENT", "SETNAME", "worker-7"), ("CLIENT", "SETINFO", "LIB-NAME", "jedis"))
    client.ask("CLIENT", "SETINFO", "LIB-VER", "5.1")
    client.send(cmd("SELECT", 3))
    assert client.got() == OK
    planes.old.advance(100)
    before = client.ask("CLIENT", "INFO")
    planes.hand_over(client)
    assert client.ask("CLIENT", "INFO") == before
    planes.old.advance(10)
    assert b"age=110" in client.ask("CLIENT", "LIST") and b"name=worker-7" in before and b"db=3" in before
