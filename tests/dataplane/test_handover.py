"""Clients handed over from one data plane to another, one test for each state that a connection can be in."""

from __future__ import annotations

import pytest

from redisproxy.resp import bulk
from redisproxy.resp import encode_command as cmd
from redisproxy.shared.core import ClientLimits
from tests.dataplane.planes import LIMIT_S, Planes, commands_of
from tests.wire import OK, Client

QUEUED = b"+QUEUED\r\n"
ABORTED = b"-EXECABORT Transaction discarded because of previous errors.\r\n"
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
    server.send(VALUE)
    assert client.got() == VALUE + VALUE and list(planes.old.registry) == [client.inside]
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


# -- transactions


def in_multi(planes: Planes, *before: tuple[str, ...]) -> Client:
    """A client with a MULTI open, in which a SET is queued."""
    client = planes.client()
    for command in (*before, ("MULTI",)):
        client.send(cmd(*command))
        planes.old.server.send(OK)
    client.send(cmd("SET", "k", "v"))
    planes.old.server.send(QUEUED)
    assert client.got() == OK * (len(before) + 1) + QUEUED
    return client


def test_what_is_queued_in_multi_is_queued_again(planes: Planes) -> None:
    client = in_multi(planes)
    old = planes.old.server
    planes.hand_over(client)
    assert old.closed and len(planes.servers) == 1, "nothing of it has run, so that it has time"
    client.send(cmd("SET", "k2", "v"))
    assert planes.new.server.got() == cmd("MULTI") + cmd("SET", "k", "v")
    planes.new.server.send(OK + QUEUED)
    assert planes.new.server.got() == cmd("SET", "k2", "v")
    planes.new.server.send(QUEUED)
    client.send(cmd("EXEC"))
    assert planes.new.server.got() == cmd("EXEC")
    planes.new.server.send(b"*2\r\n" + OK + OK)
    assert client.got() == QUEUED + b"*2\r\n" + OK + OK
    planes.nothing_is_left()


def test_commands_in_multi_that_the_proxy_answers_keep_their_places(planes: Planes) -> None:
    client = in_multi(planes)
    client.send(cmd("CLIENT", "GETNAME"))
    planes.old.server.send(QUEUED)
    assert client.got() == QUEUED
    planes.hand_over(client)
    client.send(cmd("EXEC"))
    new = planes.new.server
    assert new.got() == cmd("MULTI") + cmd("SET", "k", "v") + cmd("PING")
    new.send(OK + QUEUED + QUEUED)
    assert new.got() == cmd("EXEC")
    new.send(b"*2\r\n" + OK + b"+PONG\r\n")
    assert client.got() == b"*2\r\n" + OK + b"$-1\r\n"


def test_a_transaction_that_can_not_be_queued_again_fails_at_exec(planes: Planes) -> None:
    planes.old.core.limits = ClientLimits(max_transaction_commands=0)
    client = in_multi(planes)
    planes.hand_over(client)
    assert client.ask("SET", "k", "v") == QUEUED
    assert client.ask("EXEC") == ABORTED


def test_a_transaction_that_has_failed_already_still_fails(planes: Planes) -> None:
    client = in_multi(planes)
    client.send(cmd("SUBSCRIBE", "a"))
    planes.old.server.send(b"-ERR wrong number of arguments for 'echo' command\r\n")
    assert client.got().startswith(b"-ERR redisproxy does not subscribe inside of MULTI")
    planes.hand_over(client)
    client.send(cmd("EXEC"))
    assert planes.new.server.got() == cmd("MULTI") + cmd("SET", "k", "v") + cmd("ECHO")
    planes.new.server.send(OK + QUEUED + b"-ERR wrong number of arguments for 'echo' command\r\n")
    assert client.got() == ABORTED


# -- WATCH


def watching(planes: Planes) -> Client:
    """A client that watches a key."""
    client = planes.client()
    client.send(cmd("WATCH", "k"))
    planes.old.server.send(OK)
    assert client.got() == OK
    return client


def test_a_watch_is_made_at_the_new_connection_before_it_is_proven_at_the_old_one(planes: Planes) -> None:
    client = watching(planes)
    old = planes.old.server
    old.got()
    planes.begin(client)
    new = planes.new.server
    assert new is not old and new.got() == cmd("WATCH", "k") and old.got() == b""
    new.send(OK)
    assert old.got() == cmd("MULTI") + cmd("EXEC") and new.got() == b""
    old.send(OK + b"*0\r\n")
    planes.done()
    assert old.closed
    client.send(cmd("MULTI"))
    new.send(OK)
    client.send(cmd("EXEC"))
    assert new.got() == cmd("MULTI") + cmd("EXEC"), "the server decides, by the WATCH that it has here"
    new.send(b"*0\r\n")
    assert client.got() == OK + b"*0\r\n" and not client.inside.session.bound
    planes.nothing_is_left()


def test_a_watched_key_that_has_changed_before_fails_the_next_exec(planes: Planes) -> None:
    client = watching(planes)
    old = planes.old.server
    planes.begin(client)
    planes.new.server.send(OK)
    old.send(OK + b"*-1\r\n")
    planes.done()
    assert client.inside.session.watch_lost
    client.send(cmd("MULTI"))
    new = planes.new.server
    assert new.got() == cmd("MULTI")
    new.send(OK)
    client.send(cmd("EXEC"))
    assert new.got() == cmd("DISCARD")
    new.send(OK)
    assert client.got() == OK + b"*-1\r\n"
    planes.nothing_is_left()


@pytest.mark.parametrize("ttl", [-1, 5000])
def test_with_multi_open_another_connection_is_asked_and_a_key_may_expire_later(planes: Planes, ttl: int) -> None:
    client = in_multi(planes, ("WATCH", "k"))
    old = planes.old.server
    planes.begin(client)
    new = planes.new.server
    assert new.got() == cmd("WATCH", "k") + cmd("MULTI") + cmd("SET", "k", "v")
    new.send(OK + OK + QUEUED)
    asking = planes.old.server
    assert asking not in (old, new)
    asked = commands_of(asking.got())
    assert [each[0] for each in asked] == [b"PTTL", b"MEMORY", b"CLIENT"]
    asking.send(b":%d\r\n:50\r\n" % ttl + bulk(b"id=101 flags=x multi=1\n"))
    planes.done()
    client.send(cmd("EXEC"))
    assert new.got() == cmd("EXEC") and old.closed
    new.send(b"*1\r\n" + OK)
    assert client.got() == b"*1\r\n" + OK


@pytest.mark.parametrize(
    ("ttl", "size", "flags"), [(b":-1", b":50", b"xd"), (b":-2", b":50", b"x"), (b":-1", b":50", b"N")]
)
def test_a_key_that_was_touched_or_has_expired_meanwhile_fails_exec(
    planes: Planes, ttl: bytes, size: bytes, flags: bytes
) -> None:
    client = in_multi(planes, ("WATCH", "k"))
    planes.begin(client)
    new = planes.new.server
    new.send(OK + OK + QUEUED)
    planes.old.server.send(ttl + b"\r\n" + size + b"\r\n" + bulk(b"id=101 flags=" + flags + b"\n"))
    planes.done()
    client.send(cmd("EXEC"))
    planes.new.server.send(OK + QUEUED)
    planes.new.server.send(OK)
    assert client.got() == b"*-1\r\n"
    planes.nothing_is_left()


def test_a_watch_that_can_not_be_made_again_keeps_the_client_where_it_is(planes: Planes) -> None:
    client = watching(planes)
    old = planes.old.server
    old.got()
    planes.begin(client)
    planes.new.server.send(b"-ERR no\r\n")
    assert planes.staying == {
        client.inside: "what it has at the server can't be made again: the server does not take its WATCH or its MULTI"
    }
    client.send(cmd("MULTI"))
    assert old.got() == cmd("MULTI") and not len(planes.new.registry)
    old.send(OK)
    client.send(cmd("EXEC"))
    old.send(b"*0\r\n")
    assert client.got() == OK + b"*0\r\n", "its WATCH has not been touched"


def test_after_the_proof_a_refusal_costs_the_watch_and_nothing_else(planes: Planes) -> None:
    client = watching(planes)
    old = planes.old.server
    planes.begin(client)
    planes.new.server.send(OK)
    planes.sockets.refuses = True
    old.send(OK + b"*0\r\n")
    assert planes.staying == {client.inside: "its socket can't be used: [Errno 9] Bad file descriptor"}
    assert client.inside.session.watch_lost and len(planes.old.registry) == 1
    client.send(GET)
    planes.old.server.send(VALUE)
    assert client.got() == VALUE
    planes.nothing_is_left()


# -- blocked


def test_a_blocked_command_is_called_back_and_sent_again_with_what_is_left_of_its_time(planes: Planes) -> None:
    client = planes.client()
    client.send(cmd("BLPOP", "q", 10) + GET)
    blocked = planes.old.server
    planes.old.advance(4)
    planes.begin(client)
    asking = planes.old.server
    assert asking.got() == cmd("CLIENT", "UNBLOCK", 101)
    asking.send(b":1\r\n")
    blocked.send(b"*-1\r\n")
    planes.poll()
    planes.done()
    assert client.got() == b"" and blocked.closed
    new = planes.new.server
    assert new.got() == cmd("BLPOP", "q", "6.000") and b"cmd=blpop" in planes.new.client().ask("CLIENT", "LIST")
    new.send(b"*2\r\n$1\r\nq\r\n" + VALUE)
    planes.new.server.send(VALUE)
    assert client.got() == b"*2\r\n$1\r\nq\r\n" + VALUE + VALUE
    planes.nothing_is_left()


def test_an_element_that_comes_in_the_last_moment_reaches_the_client(planes: Planes) -> None:
    client = planes.client()
    client.send(cmd("BLPOP", "q", 0))
    blocked = planes.old.server
    planes.begin(client)
    planes.old.server.send(b":0\r\n")
    blocked.send(b"*2\r\n$1\r\nq\r\n" + VALUE)
    planes.poll()
    planes.done()
    assert client.got() == b"*2\r\n$1\r\nq\r\n" + VALUE
    client.send(GET)
    assert planes.new.server.got() == GET


def test_client_unblock_finds_one_that_blocks_again_at_the_other_data_plane(planes: Planes) -> None:
    client, other = planes.client(), planes.client()
    client.send(cmd("BLPOP", "q", 0))
    blocked = planes.old.server
    planes.begin(client, other)
    blocked.send(b"*-1\r\n")
    planes.poll()
    planes.done()
    blocked = planes.new.server
    assert other.ask("CLIENT", "UNBLOCK", 1) == b":1\r\n"
    assert planes.new.server.got() == cmd("CLIENT", "UNBLOCK", 100 + blocked.number, "TIMEOUT")
    blocked.send(b"*-1\r\n")
    assert client.got() == b"*-1\r\n"


# -- reply modes


def test_replies_that_are_switched_off_stay_off(planes: Planes) -> None:
    client = planes.client(("CLIENT", "REPLY", "OFF"))
    planes.hand_over(client)
    client.send(GET)
    planes.new.server.send(VALUE)
    assert client.got() == b"" and client.ask("CLIENT", "REPLY", "ON") == OK


def test_a_skip_means_the_next_command_at_the_other_data_plane(planes: Planes) -> None:
    client = planes.client(("CLIENT", "REPLY", "SKIP"))
    planes.hand_over(client)
    client.send(GET + cmd("GET", "b"))
    planes.new.server.send(VALUE)
    planes.new.server.send(b"$1\r\ny\r\n")
    assert client.got() == b"$1\r\ny\r\n"


def test_a_skip_means_the_command_that_was_called_back(planes: Planes) -> None:
    client = planes.client(("CLIENT", "REPLY", "SKIP"))
    client.send(cmd("BLPOP", "q", 0) + GET)
    blocked = planes.old.server
    planes.begin(client)
    blocked.send(b"*-1\r\n")
    planes.poll()
    planes.done()
    planes.new.server.send(b"*2\r\n$1\r\nq\r\n" + VALUE)
    assert client.got() == b""
    planes.new.server.send(VALUE)
    assert client.got() == VALUE


def test_a_skipped_command_that_waits_for_a_connection_is_skipped_there(planes: Planes) -> None:
    client = planes.client(("CLIENT", "REPLY", "SKIP"))
    planes.old.refuse_connections = True
    client.send(GET + cmd("GET", "b"))
    planes.old.refuse_connections = False
    planes.hand_over(client)
    planes.new.server.send(VALUE)
    assert client.got() == b""
    planes.new.server.send(VALUE)
    assert client.got() == VALUE
