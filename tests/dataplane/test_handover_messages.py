"""Clients that get messages, handed over: none is lost, none comes twice, and order stays, whoever publishes."""

from __future__ import annotations

import pytest

from redisproxy.client.tracking_options import INVALIDATE_ALL
from redisproxy.resp import array_header, bulk, integer, parse_replies, push_header
from redisproxy.resp import encode_command as cmd
from tests import wire
from tests.dataplane.planes import TIMEOUT_S, Planes, commands_of, marker_of
from tests.wire import OK, Client, Server

GET = cmd("GET", "a")
VALUE = b"$1\r\nx\r\n"
PONG = b"+PONG\r\n"


@pytest.fixture
def planes() -> Planes:
    return Planes()


@pytest.fixture(params=[2, 3])
def version(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


def push(version: int, *parts: bytes | int) -> bytes:
    """A message, or a confirmation, as this RESP version writes it."""
    return push_header(len(parts), version) + b"".join(integer(x) if isinstance(x, int) else bulk(x) for x in parts)


def confirm(server: Server, version: int) -> bytes:
    """Have the server confirm every name that it has been asked to subscribe to; what it was asked."""
    asked = server.got()
    for name, *channels in commands_of(asked):
        if name.upper().endswith(b"SUBSCRIBE"):
            server.send(*(push(version, name.lower(), channel, at) for at, channel in enumerate(channels, 1)))
    return asked


def subscriber(planes: Planes, version: int) -> tuple[Client, Server]:
    """A client with a channel, a pattern and a shard channel, and the server's end of its connection."""
    client = planes.client(("HELLO", version))
    client.send(cmd("SUBSCRIBE", "a", "b"))
    server = planes.old.server
    confirm(server, version)
    for name in ("PSUBSCRIBE", "SSUBSCRIBE"):
        client.send(cmd(name, "x*"))
        confirm(server, version)
    client.send(cmd("UNSUBSCRIBE", "b"))
    server.got()
    server.send(push(version, b"unsubscribe", b"b", 1))
    client.got()
    return client, server


def message(version: int, text: bytes) -> bytes:
    return push(version, b"message", b"a", text)


class Crossing:
    """A subscriber on its way, up to where the marker is on its way to both connections."""

    def __init__(self, planes: Planes, version: int) -> None:
        self.planes, self.version = planes, version
        self.client, self.old = subscriber(planes, version)
        planes.begin(self.client)
        self.new = planes.new.server
        self.asked = confirm(self.new, version)
        self.asked += confirm(self.new, version)
        self.marker = marker_of(confirm(self.old, version))
        self.asking = planes.asked(b"SPUBLISH")

    def publish(self) -> None:
        """Have the marker published: the answer is there, and the message on its way."""
        self.asked += self.asking.got()
        self.asking.send(b":2\r\n")

    @property
    def mark(self) -> bytes:
        return push(self.version, b"smessage", self.marker, b"")

    def finish(self) -> None:
        """The new connection is rid of the marker."""
        self.planes.done()
        assert self.new.got() == cmd("SUNSUBSCRIBE", self.marker)
        self.new.send(push(self.version, b"sunsubscribe", self.marker, 1))


def test_messages_come_once_and_in_order_whatever_each_connection_has_brought_first(
    planes: Planes, version: int
) -> None:
    crossing = Crossing(planes, version)
    client, old, new = crossing.client, crossing.old, crossing.new
    one, two, three, four = (message(version, text) for text in (b"1", b"2", b"3", b"4"))
    new.send(one)
    old.send(one)
    crossing.publish()
    new.send(two + crossing.mark + three)
    assert planes.staying is None and client.got() == one
    old.send(two + crossing.mark + three)
    crossing.finish()
    assert client.got() == two + three and old.closed
    new.send(four)
    assert client.got() == four
    assert [[name.upper(), *rest] for name, *rest in commands_of(crossing.asked)] == [
        [b"SUBSCRIBE", b"a"],
        [b"PSUBSCRIBE", b"x*"],
        [b"SSUBSCRIBE", b"x*"],
        [b"SSUBSCRIBE", crossing.marker],
        [b"SPUBLISH", crossing.marker, b""],
    ]
    planes.nothing_is_left()


def test_the_client_may_be_there_before_the_marker_is(planes: Planes, version: int) -> None:
    crossing = Crossing(planes, version)
    client, old, new = crossing.client, crossing.old, crossing.new
    one, two = message(version, b"1"), message(version, b"2")
    crossing.publish()
    old.send(one + crossing.mark)
    planes.done()
    assert client.got() == one
    new.send(one)
    assert client.got() == b""
    new.send(crossing.mark + two)
    crossing.finish()
    assert client.got() == two


def test_it_subscribes_and_unsubscribes_at_the_other_data_plane_with_the_right_counts(
    planes: Planes, version: int
) -> None:
    crossing = Crossing(planes, version)
    client, new = crossing.client, crossing.new
    crossing.publish()
    new.send(crossing.mark)
    crossing.old.send(crossing.mark)
    crossing.finish()
    assert b"sub=1 psub=1 ssub=1" in planes.new.client().ask("CLIENT", "LIST")
    client.send(cmd("UNSUBSCRIBE"))
    assert new.got() == cmd("UNSUBSCRIBE")
    new.send(push(version, b"unsubscribe", b"a", 2))
    assert client.got() == push(version, b"unsubscribe", b"a", 2)
    planes.nothing_is_left()


def test_a_large_message_in_pieces_goes_on_at_the_connection_that_began_it(planes: Planes) -> None:
    crossing = Crossing(planes, 3)
    client, old, new = crossing.client, crossing.old, crossing.new
    large = message(3, b"x" * 1_000_000)
    crossing.publish()
    old.send(large[:900_000])
    new.send(large + crossing.mark)
    old.send(large[900_000:])
    assert planes.staying is None
    old.send(crossing.mark)
    crossing.finish()
    assert client.got() == large


@pytest.mark.parametrize("answer", [b":1\r\n", b"-BUSY Redis is busy running a script\r\n"])
def test_where_the_marker_does_not_reach_both_the_client_stays(planes: Planes, version: int, answer: bytes) -> None:
    crossing = Crossing(planes, version)
    crossing.asking.got()
    crossing.asking.send(answer)
    assert planes.staying and crossing.new.closed and len(planes.old.registry) == 1
    assert crossing.old.got() == cmd("SUNSUBSCRIBE", crossing.marker)
    crossing.old.send(message(version, b"1") + push(version, b"sunsubscribe", crossing.marker, 1))
    assert crossing.client.got() == message(version, b"1")


@pytest.mark.parametrize("answer", [b"-NOPERM this user has no permissions to access the channel\r\n", None])
def test_where_no_marker_can_be_had_the_client_stays_with_all_its_messages(
    planes: Planes, version: int, answer: bytes | None
) -> None:
    client, old = subscriber(planes, version)
    planes.begin(client)
    new = planes.new.server
    confirm(new, version)
    confirm(new, version)
    assert marker_of(old.got())
    if answer is None:
        planes.old.advance(TIMEOUT_S)
    else:
        old.send(answer)
    assert planes.staying is not None and list(planes.staying) == [client.inside]
    assert new.closed and not len(planes.new.registry) and not client.closed
    old.send(message(version, b"1"))
    assert client.got() == message(version, b"1")


def test_a_refusal_after_the_cut_loses_no_message(planes: Planes, version: int) -> None:
    crossing = Crossing(planes, version)
    client, old = crossing.client, crossing.old
    crossing.publish()
    planes.sockets.refuses = True
    one, two, three = (message(version, text) for text in (b"1", b"2", b"3"))
    old.send(one + crossing.mark + two)
    assert planes.staying and client.got() == one + two
    assert old.got() == cmd("SUNSUBSCRIBE", crossing.marker)
    old.send(three + push(version, b"sunsubscribe", crossing.marker, 1))
    assert client.got() == three
    old.send(one)
    assert client.got() == one and crossing.new.closed
    planes.nothing_is_left()


def test_a_server_without_shard_channels_is_marked_by_a_common_one_that_the_client_s_patterns_do_not_see(
    planes: Planes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "HELLO", wire.HELLO.replace(b"7.0.15", b"6.2.14"))
    client = planes.client(("HELLO", 3))
    client.send(cmd("PSUBSCRIBE", "*"))
    old = planes.old.server
    confirm(old, 3)
    client.got()
    planes.begin(client)
    new = planes.new.server
    confirm(new, 3)
    confirm(new, 3)
    marker = marker_of(confirm(old, 3))
    asking = planes.asked(cmd("PUBLISH", marker, ""))
    asking.send(b":2\r\n")
    marks = push(3, b"message", marker, b"") + push(3, b"pmessage", b"*", marker, b"")
    new.send(marks)
    old.send(marks)
    planes.done()
    assert new.got() == cmd("UNSUBSCRIBE", marker)
    new.send(push(3, b"unsubscribe", marker, 1))
    assert client.got() == b""


def test_a_subscriber_s_watch_is_lost(planes: Planes) -> None:
    client = planes.client(("HELLO", 3))
    client.send(cmd("WATCH", "k"))
    old = planes.old.server
    old.send(OK)
    client.send(cmd("SUBSCRIBE", "a"))
    old.got()
    old.send(push(3, b"subscribe", b"a", 1))
    planes.begin(client)
    new = planes.new.server
    confirm(new, 3)
    confirm(new, 3)
    marker = marker_of(confirm(old, 3))
    planes.asked(b"SPUBLISH").send(b":2\r\n")
    new.send(push(3, b"smessage", marker, b""))
    old.send(push(3, b"smessage", marker, b""))
    planes.done()
    assert client.inside.session.watch_lost and client.inside.session.subscribed


# -- MONITOR


def line(text: str) -> bytes:
    return b"+1795776471.193075 [0 127.0.0.1:60894] %s\r\n" % text.encode()


def test_every_line_of_monitor_comes_once(planes: Planes) -> None:
    client = planes.client()
    client.send(cmd("MONITOR"))
    old = planes.old.server
    old.send(OK + line('"GET" "1"'))
    planes.begin(client)
    new = planes.new.server
    assert new.got() == cmd("MONITOR")
    new.send(OK + line('"GET" "2"'))
    asking = planes.asked(b"PING")
    ping = commands_of(asking.got())[0]
    assert ping[0] == b"PING"
    mark = line(f'"PING" "{ping[1].decode()}"')
    new.send(mark + line('"GET" "3"'))
    old.send(line('"GET" "2"') + mark[:40])
    asking.send(bulk(ping[1]))
    assert planes.staying is None
    old.send(mark[40:] + line('"GET" "3"')[:5])
    planes.done()
    new.send(line('"GET" "4"'))
    assert client.got() == OK + b"".join(line(f'"GET" "{at}"') for at in (1, 2, 3, 4))
    client.send(cmd("PING"))
    assert new.got() == cmd("PING")
    new.send(PONG + line('"PING"'))
    assert client.got() == PONG + line('"PING"') and b"flags=O" in planes.new.client().ask("CLIENT", "LIST")
    planes.nothing_is_left()


def test_lines_go_on_after_a_refusal(planes: Planes) -> None:
    client = planes.client()
    client.send(cmd("MONITOR"))
    old = planes.old.server
    old.send(OK)
    planes.begin(client)
    planes.new.server.send(OK)
    asking = planes.asked(b"PING")
    ping = commands_of(asking.got())[0]
    planes.sockets.refuses = True
    asking.send(bulk(ping[1]))
    old.send(line(f'"PING" "{ping[1].decode()}"') + line('"GET" "1"') + line('"GET" "2"')[:20])
    assert planes.staying
    old.send(line('"GET" "2"')[20:])
    assert client.got() == OK + line('"GET" "1"') + line('"GET" "2"')


def test_a_push_that_waited_for_the_end_of_a_line_comes_before_the_client_goes(planes: Planes) -> None:
    client = planes.client(("HELLO", 3), ("CLIENT", "MAINT_NOTIFICATIONS", "ON"))
    client.send(cmd("MONITOR"))
    old = planes.old.server
    old.send(OK + line('"GET" "1"')[:40])
    client.inside.push(b">1\r\n+pushed\r\n")
    planes.begin(client)
    new = planes.new.server
    new.send(OK)
    asking = planes.asked(b"PING")
    ping = commands_of(asking.got())[0]
    mark = line(f'"PING" "{ping[1].decode()}"')
    asking.send(bulk(ping[1]))
    new.send(mark + line('"GET" "2"'))
    assert b"pushed" not in client.got()
    old.send(line('"GET" "1"')[40:] + mark + line('"GET" "2"')[:40])
    planes.done()
    assert client.got() == line('"GET" "1"')[40:] + b">1\r\n+pushed\r\n" + line('"GET" "2"')


def test_a_subscriber_whose_connection_is_lost_meanwhile_leaves_nothing(planes: Planes, version: int) -> None:
    crossing = Crossing(planes, version)
    crossing.publish()
    crossing.old.close()
    planes.old.advance(TIMEOUT_S)
    assert planes.staying and crossing.client.closed and crossing.new.closed
    assert not len(planes.old.registry) and not len(planes.new.registry)
    planes.nothing_is_left()


# -- CLIENT TRACKING


def tracked(planes: Planes, *options: str) -> tuple[Client, Server]:
    """A client with tracking on, and the server's end of its connection."""
    client = planes.client(("HELLO", 3))
    client.send(cmd("CLIENT", "TRACKING", "ON", *options))
    server = planes.old.server
    server.send(OK)
    assert client.got() == OK
    server.got()
    return client, server


def invalidate(key: bytes) -> bytes:
    return push_header(2, 3) + bulk(b"invalidate") + array_header(1) + bulk(key)


@pytest.mark.parametrize("options", [(), ("BCAST", "PREFIX", "a", "PREFIX", "b"), ("OPTIN",), ("NOLOOP",)])
def test_tracking_is_on_at_the_new_connection_first_and_the_client_forgets_its_cache_at_the_change(
    planes: Planes, options: tuple[str, ...]
) -> None:
    client, old = tracked(planes, *options)
    planes.begin(client)
    new = planes.new.server
    asked = commands_of(new.got())
    assert [each[:3] for each in asked] == [[b"CLIENT", b"TRACKING", b"ON"]] and len(asked[0]) == 3 + len(options)
    new.send(invalidate(b"early"))
    old.send(invalidate(b"k"))
    assert client.got() == invalidate(b"k") and not old.closed
    new.send(OK)
    planes.done()
    assert client.got() == INVALIDATE_ALL and old.closed
    new.send(invalidate(b"late"))
    assert client.got() == invalidate(b"late")
    client.send(GET)
    assert new.got() == GET
    new.send(VALUE)
    assert client.got() == VALUE
    planes.nothing_is_left()


def test_what_client_caching_has_said_of_the_next_command_is_said_there(planes: Planes) -> None:
    client, _ = tracked(planes, "OPTIN")
    assert client.ask("CLIENT", "CACHING", "YES") == OK
    planes.begin(client)
    new = planes.new.server
    new.send(OK)
    planes.done()
    new.got()
    client.send(GET)
    assert new.got() == cmd("CLIENT", "CACHING", "YES") + GET


def test_with_tracking_a_watch_and_a_transaction_are_made_on_the_same_connection(planes: Planes) -> None:
    client, old = tracked(planes)
    for command in (("WATCH", "k"), ("MULTI",)):
        client.send(cmd(*command))
        old.send(OK)
    client.send(GET)
    old.send(b"+QUEUED\r\n")
    client.got()
    planes.begin(client)
    new = planes.new.server
    new.got()
    new.send(OK)
    assert new.got() == cmd("WATCH", "k") + cmd("MULTI") + GET
    new.send(OK + OK + b"+QUEUED\r\n")
    planes.asked(b"PTTL").send(b":-1\r\n:50\r\n" + bulk(b"id=101 flags=tx\n"))
    planes.done()
    client.send(cmd("EXEC"))
    assert new.got() == cmd("EXEC")
    new.send(b"*1\r\n" + VALUE)
    assert client.got() == INVALIDATE_ALL + b"*1\r\n" + VALUE


def test_a_server_that_refuses_tracking_keeps_the_client_where_it_is(planes: Planes) -> None:
    client, old = tracked(planes)
    planes.begin(client)
    planes.new.server.send(b"-ERR no\r\n")
    assert planes.staying and not client.closed
    client.send(GET)
    assert old.got() == GET and client.got() == b""


def test_a_refusal_at_the_end_makes_the_client_forget_what_it_could_not_be_told(planes: Planes) -> None:
    client, _ = tracked(planes)
    planes.begin(client)
    planes.sockets.refuses = True
    planes.new.server.send(OK)
    assert planes.staying and client.got() == INVALIDATE_ALL


def test_replies_parse_as_what_they_are() -> None:
    assert parse_replies(invalidate(b"k")) == [[b"invalidate", [b"k"]]]
