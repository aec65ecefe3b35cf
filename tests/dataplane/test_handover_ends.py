"""Handing clients over: who can't go, who leaves meanwhile, what is refused, and who is who afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from redisproxy.client.session_value import from_bytes
from redisproxy.dataplane.handover import AT_ONCE
from redisproxy.dataplane.values import HandoverRefused
from redisproxy.resp import bulk, parse_replies, push_header
from redisproxy.resp import encode_command as cmd
from redisproxy.serving.leaving import Leaving
from redisproxy.shared.core import ClientLimits
from redisproxy.shared.maintenance import UNNOTICED_S
from tests.dataplane.planes import LIMIT_S, POLL_S, Planes
from tests.wire import OK, Client

GET = cmd("GET", "a")
VALUE = b"$1\r\nx\r\n"


@pytest.fixture
def planes() -> Planes:
    return Planes()


def refused(planes: Planes, why: str, *clients: Client) -> None:
    """Who stays, for this reason, goes on where it is."""
    assert planes.staying == {client.inside: why for client in clients}
    for client in clients:
        client.send(GET)
        planes.old.server.send(VALUE)
        assert client.got() == VALUE
    planes.nothing_is_left()


# -- commands too large to hold


def large(planes: Planes) -> tuple[Client, bytes]:
    """A client in the middle of a large command, and the rest of it."""
    planes.old.core.limits = ClientLimits(max_held_request_bytes=1024)
    client = planes.client()
    command = cmd("SET", "k", b"x" * 5000)
    client.send(command[:3000])
    return client, command[3000:]


def test_a_large_command_ends_first_and_what_comes_behind_it_waits(planes: Planes) -> None:
    client, rest = large(planes)
    old = planes.old.server
    planes.begin(client)
    client.send(rest)
    planes.poll()
    client.send(GET)
    old.send(OK)
    planes.poll()
    planes.done()
    assert old.got() == cmd("SET", "k", b"x" * 5000) and client.got() == OK
    assert planes.new.server.got() == GET


def test_one_in_the_middle_of_a_large_command_at_the_deadline_stays(planes: Planes) -> None:
    client, rest = large(planes)
    old = planes.old.server
    planes.begin(client)
    planes.old.advance(LIMIT_S)
    assert planes.staying == {client.inside: "it is sending a command too large to hold"}
    client.send(rest)
    old.send(OK)
    assert client.got() == OK


def test_a_large_command_that_was_refused_is_thrown_away_to_its_end_first(planes: Planes) -> None:
    planes.old.core.limits = ClientLimits(max_held_request_bytes=1024)
    client = planes.client()
    command = cmd("SUBSCRIBE", b"x" * 5000)
    client.send(command[:3000])
    assert client.got().startswith(b"-ERR")
    planes.begin(client)
    client.send(command[3000:])
    planes.poll()
    planes.done()
    assert client.ask("CLIENT", "ID") == b":1\r\n"


def test_a_large_command_that_waits_at_the_gate_goes_whole_to_the_other_data_plane(planes: Planes) -> None:
    for wire in (planes.old, planes.new):
        wire.core.limits = ClientLimits(max_held_request_bytes=1024)
    client = planes.client()
    command = cmd("SET", "k", b"x" * 5000)
    planes.old.pause()
    client.send(command[:3000])
    planes.hand_over(client)
    client.send(command[3000:])
    assert planes.new.server.got() == command


# -- who leaves by itself


def test_a_client_that_is_closing_ends_where_it_is(planes: Planes) -> None:
    client = planes.client()
    client.send(GET)
    client.inside.closing.close()
    planes.begin(client)
    assert planes.staying == {client.inside: "it is closing"} and not len(planes.new.registry)


def test_one_whose_socket_can_not_be_passed_on_stays_as_with_tls(planes: Planes) -> None:
    client = planes.client()
    client.transport.detachable = False
    planes.begin(client)
    client.transport.detachable = True
    refused(planes, "its connection is closing, or has TLS keys that stay here", client)


def test_one_that_leaves_while_it_is_held_is_forgotten(planes: Planes) -> None:
    client = planes.client()
    client.send(GET)
    planes.begin(client)
    client.close()
    planes.old.server.send(VALUE)
    planes.poll()
    assert list(planes.staying or {}) == [client.inside] and not len(planes.new.registry)
    planes.nothing_is_left()


def test_one_that_leaves_while_its_state_is_made_leaves_nothing_there(planes: Planes) -> None:
    client = planes.client()
    client.send(cmd("WATCH", "k"))
    old = planes.old.server
    old.send(OK)
    planes.begin(client)
    new = planes.new.server
    client.close()
    new.send(OK)
    planes.old.advance(1)
    assert planes.staying and new.closed and old.closed and not len(planes.new.registry)
    assert planes.new.registry.reserve(1), "its id is free again"


def test_the_end_of_what_a_client_sends_is_noticed_by_the_other_data_plane(planes: Planes) -> None:
    client = planes.client()
    planes.old.pause()
    client.send(GET)
    client.transport.protocol.readConnectionLost()
    planes.hand_over(client)
    client.transport.protocol.readConnectionLost()
    planes.new.server.send(VALUE)
    assert client.got() == VALUE and client.closed


# -- what the other data plane says


def test_a_listener_that_is_not_there_keeps_its_clients(planes: Planes) -> None:
    client = planes.client()
    client.inside.identity.listener = "elsewhere"
    planes.begin(client)
    refused(planes, "there is no listener 'elsewhere' here", client)


def test_a_full_data_plane_takes_nobody(planes: Planes) -> None:
    client = planes.client()
    planes.new.registry.max_clients = 0
    planes.begin(client)
    refused(planes, "there are as many clients as there may be (limits.max_clients)", client)


def test_those_who_are_on_their_way_have_their_places(planes: Planes) -> None:
    clients = [planes.client() for _ in range(3)]
    for client in clients:
        client.send(cmd("WATCH", "a"))
        planes.servers[-1].send(OK)
    planes.new.registry.max_clients = 2
    planes.begin(*clients)
    assert len(planes.target._coming) == 2 and planes.new.registry.full


def test_an_id_that_somebody_has_is_not_given_twice(planes: Planes) -> None:
    client, other = planes.client(), planes.new.client()
    planes.begin(client)
    refused(planes, "there is a client with the id 1 already", client)
    assert other.ask("CLIENT", "ID") == b":1\r\n"


@pytest.mark.parametrize("state", [b"", b"{}", b"\xff", b'{"version":9}'])
def test_what_is_no_client_is_refused_and_leaves_nothing(planes: Planes, state: bytes) -> None:
    failures: list[Any] = []
    for order in (planes.target.prepare(state, b"m"), planes.target.adopt(state, 1001)):
        ensureDeferred(order).addErrback(failures.append)
    assert [failure.type for failure in failures] == [HandoverRefused] * 2
    planes.nothing_is_left()


def test_what_contradicts_itself_ends_its_own_client_and_nothing_else(planes: Planes) -> None:
    client, other = planes.client(("CLIENT", "REPLY", "SKIP")), planes.client()
    value = Leaving(client.inside).export()
    session = value.session.model_copy(update={"skip": "now", "skipped_waits": True})
    broken = value.model_copy(update={"session": session, "unread": b"*1\r\nx", "id": 7})
    adopted = ensureDeferred(planes.target.adopt(broken.to_bytes(), client.transport.port))
    assert adopted.called
    planes.old.turn()
    assert not len(planes.new.registry)
    planes.hand_over(other)


def test_a_connection_that_was_lost_before_the_client_came_keeps_it_where_it_is(planes: Planes) -> None:
    client = planes.client()
    client.send(cmd("WATCH", "k"))
    old = planes.old.server
    old.send(OK)
    planes.begin(client)
    new = planes.new.server
    new.send(OK)
    new.close()
    old.send(OK + b"*0\r\n")
    assert planes.staying == {client.inside: "the connection on which it was to go on is lost"}
    assert client.inside.session.watch_lost


def test_a_late_failure_of_one_attempt_does_not_end_the_next_one(planes: Planes) -> None:
    client = planes.client()
    client.send(cmd("WATCH", "k"))
    planes.old.server.send(OK)
    state = Leaving(client.inside).export().to_bytes()
    first, failures = ensureDeferred(planes.target.prepare(state, b"m")), list[Any]()
    first.addErrback(failures.append)
    planes.old.turn()
    late = planes.new.server
    planes.target.abandon(1)
    second = ensureDeferred(planes.target.prepare(state, b"m"))
    planes.old.turn()
    planes.new.server.send(OK)
    assert late.closed and second.called and failures
    adopted = ensureDeferred(planes.target.adopt(state, client.transport.port))
    assert adopted.called and len(planes.new.registry) == 1


def test_a_server_that_does_not_answer_keeps_the_client_where_it_is(planes: Planes) -> None:
    client = planes.client()
    client.send(cmd("WATCH", "k"))
    old = planes.old.server
    old.send(OK)
    planes.begin(client)
    new = planes.new.server
    planes.old.advance(1)
    why = "what it has at the server can't be made again: the server does not answer"
    assert planes.staying == {client.inside: why} and new.closed
    client.send(cmd("MULTI"))
    assert old.got().endswith(cmd("MULTI"))


class Forgetful:
    """A target that says of nobody what it has made for him; L{abandon} makes it forget.

    @ivar prepared: the ids of those for whom it has made something.
    """

    def __init__(self) -> None:
        self.prepared: list[int] = []
        self.answer: Exception = ConnectionError("the answer is lost")

    async def prepare(self, state: bytes, marker: bytes) -> None:
        self.prepared.append(from_bytes(state).id)
        raise self.answer

    async def adopt(self, state: bytes, fd: int) -> None:
        raise AssertionError

    def abandon(self, client_id: int) -> None:
        self.prepared.remove(client_id)


def test_a_target_whose_answer_is_lost_is_told_to_abandon(planes: Planes) -> None:
    client = planes.client()
    client.send(cmd("WATCH", "a"))
    planes.old.turn()
    planes.servers[-1].send(OK)
    target = Forgetful()
    planes.handover._target = target
    planes.begin(client)
    assert planes.staying == {client.inside: "the answer is lost"} and not target.prepared


def test_a_target_that_has_refused_is_not_told_to_abandon_somebody_else_with_the_id(planes: Planes) -> None:
    client = planes.client()
    client.send(cmd("WATCH", "a"))
    planes.servers[-1].send(OK)
    target = planes.handover._target = Forgetful()
    target.answer = HandoverRefused("there is a client with the id 1 already")
    planes.begin(client)
    assert planes.staying == {client.inside: str(target.answer)} and target.prepared == [client.inside.id]


def test_a_handover_that_is_cancelled_while_state_is_made_begins_with_nobody_else(planes: Planes) -> None:
    clients = [planes.client() for _ in range(AT_ONCE + 1)]
    for client in clients[:AT_ONCE]:
        client.send(cmd("WATCH", "a"))
        planes.servers[-1].send(OK)
    moving = ensureDeferred(planes.handover.move([client.inside for client in clients], LIMIT_S))
    planes.old.turn()
    assert len(planes.target._coming) == AT_ONCE
    failed: list[Any] = []
    moving.addErrback(failed.append)
    moving.cancel()
    planes.old.turn()
    assert failed and failed[0].check(CancelledError)
    assert len(planes.old.registry) == AT_ONCE + 1 and not planes.target._coming


class Slow:
    """A target that takes its time to answer."""

    def __init__(self) -> None:
        self.answers: list[Deferred[None]] = []

    async def prepare(self, state: bytes, marker: bytes) -> None:
        raise AssertionError

    async def adopt(self, state: bytes, fd: int) -> None:
        self.answers.append(Deferred())
        await self.answers[-1]

    def abandon(self, client_id: int) -> None:
        raise AssertionError


@pytest.mark.parametrize("refused", [False, True])
def test_a_socket_on_its_way_stays_open_until_the_answer_also_when_it_is_cancelled(
    planes: Planes, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    closed: list[int] = []
    monkeypatch.setattr("os.close", closed.append)
    clients = [planes.client() for _ in range(AT_ONCE + 1)]
    target = planes.handover._target = Slow()
    failed: list[Any] = []
    moving = ensureDeferred(planes.handover.move([client.inside for client in clients], LIMIT_S))
    moving.addErrback(failed.append)
    moving.cancel()
    assert not closed and not failed and len(planes.old.registry) == len(clients)
    for answer in target.answers:
        answer.errback(HandoverRefused("no")) if refused else answer.callback(None)
    assert failed[0].check(CancelledError) and len(target.answers) == AT_ONCE
    assert len(planes.old.registry) == len(clients) - (0 if refused else AT_ONCE)
    planes.nothing_is_left()


class Lost:
    """A target that is lost at the last moment, after it has taken the client or before."""

    def __init__(self, planes: Planes, after: bool) -> None:
        self._planes = planes
        self._after = after

    async def prepare(self, state: bytes, marker: bytes) -> None:
        raise AssertionError

    async def adopt(self, state: bytes, fd: int) -> None:
        if self._after:
            await self._planes.target.adopt(state, fd)
        raise ConnectionError("the other process is lost")

    def abandon(self, client_id: int) -> None:
        raise AssertionError


def test_a_client_of_whom_nobody_knows_who_has_it_is_never_served_by_both(
    planes: Planes, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []
    monkeypatch.setattr("os.close", closed.append)
    client = planes.client()
    planes.handover._target = Lost(planes, after=False)
    planes.begin(client)
    assert planes.staying == {client.inside: "the other process is lost"}
    assert closed == [client.transport.port] and not len(planes.old.registry) and client.inside.closed
    planes.nothing_is_left()


# -- who is who afterwards


def test_a_client_keeps_its_id_and_nobody_else_ever_gets_it(planes: Planes) -> None:
    clients = [planes.client() for _ in range(3)]
    planes.hand_over(clients[2], clients[0])
    assert [each.ask("CLIENT", "ID") for each in (clients[0], clients[2])] == [b":1\r\n", b":3\r\n"]
    newcomer = planes.new.client()
    assert newcomer.ask("CLIENT", "ID") == b":4\r\n"
    planes.hand_over(clients[1])
    ids = [line.split()[0] for line in parse_replies(newcomer.ask("CLIENT", "LIST"))[0].splitlines()]  # type: ignore[attr-defined]
    assert ids == [b"id=1", b"id=2", b"id=3", b"id=4"]


def test_client_kill_finds_it_by_its_id(planes: Planes) -> None:
    client, other = planes.client(), planes.client()
    planes.hand_over(client, other)
    assert other.ask("CLIENT", "KILL", "ID", 1) == b":1\r\n"
    planes.old.turn()
    assert client.closed and not other.closed
    planes.nothing_is_left()


def test_a_killed_client_is_not_handed_over(planes: Planes) -> None:
    client, other = planes.client(), planes.client()
    client.send(GET)
    planes.begin(client)
    assert other.ask("CLIENT", "KILL", "ID", 1) == b":1\r\n"
    planes.old.server.send(VALUE)
    planes.poll()
    assert planes.staying == {client.inside: "it is closing"} and not len(planes.new.registry)


def test_who_has_logged_in_stays_so_and_who_has_not_does_not() -> None:
    planes = Planes(password="secret")
    one, two = planes.client(("AUTH", "secret")), planes.client(("AUTH", "wrong"))
    planes.hand_over(one, two)
    assert one.ask("ACL", "WHOAMI") == bulk(b"default")
    assert two.ask("CLIENT", "ID").startswith(b"-NOAUTH") and two.inside.session.failed_logins == 1
    assert two.ask("AUTH", "secret") == OK


def test_failed_logins_are_counted_on(planes: Planes) -> None:
    planes = Planes(password="secret")
    client = planes.client(*[("AUTH", "wrong")] * 9)
    planes.hand_over(client)
    client.ask("AUTH", "wrong")
    planes.old.turn()
    assert client.closed


# -- the gate, slow readers, connections of one's own


def test_clients_that_wait_at_a_closed_gate_wait_at_the_other_one_and_lose_no_command(planes: Planes) -> None:
    planes.old.pause()
    planes.new.pause()
    client = planes.client()
    client.send(GET + GET)
    planes.hand_over(client)
    assert planes.new.gate.held == 1 and not planes.old.gate.held
    planes.new.unpause()
    assert planes.new.server.got() == GET + GET


def test_a_client_that_waits_for_a_connection_waits_for_one_there(planes: Planes) -> None:
    planes.old.refuse_connections = True
    client = planes.client()
    client.send(GET)
    planes.hand_over(client)
    assert planes.new.server.got() == GET


def test_a_slow_reader_goes_on_reading_slowly(planes: Planes) -> None:
    client = planes.client()
    client.send(GET)
    client.transport.full = True
    client.inside.slow_reader.pauseProducing()
    planes.old.server.send(VALUE)
    planes.hand_over(client)
    assert client.got() == VALUE
    client.send(GET)
    planes.new.server.send(VALUE)
    assert client.got() == VALUE


def test_a_slow_reader_whom_the_other_data_plane_refuses_is_not_stuck(planes: Planes) -> None:
    client = planes.client()
    client.inside.slow_reader.pauseProducing()
    planes.sockets.refuses = True
    planes.begin(client)
    refused(planes, "its socket can't be used: [Errno 9] Bad file descriptor", client)


def test_who_had_a_connection_of_his_own_gets_one(planes: Planes) -> None:
    client = planes.client()
    client.inside.share.dedicate()
    planes.hand_over(client)
    assert planes.new.core.dedicated == 1 and not planes.old.core.dedicated
    planes.nothing_is_left()


# -- maintenance notifications


def listener(planes: Planes) -> Client:
    client = planes.client(("HELLO", 3))
    assert client.ask("CLIENT", "MAINT_NOTIFICATIONS", "ON", "moving-endpoint-type", "none") == OK
    return client


def names(data: bytes) -> list[object]:
    return [each[0] for each in parse_replies(data)]  # type: ignore[index]


def test_maintenance_notifications_go_on(planes: Planes) -> None:
    client = listener(planes)
    planes.hand_over(client)
    planes.new.pause()
    planes.new.advance(UNNOTICED_S)
    planes.new.unpause()
    assert names(client.got()) == [b"MIGRATING", b"MIGRATED"]
    assert client.inside not in planes.old.core.maintenance


@pytest.mark.parametrize("paused", [False, True])
def test_who_was_told_of_a_pause_is_told_of_its_end(planes: Planes, paused: bool) -> None:
    client = listener(planes)
    planes.old.pause()
    planes.old.advance(UNNOTICED_S)
    if paused:
        planes.new.pause()
    begin = parse_replies(client.got())
    assert names(b"") == [] and begin[0][0] == b"MIGRATING"  # type: ignore[index]
    planes.hand_over(client)
    if paused:
        planes.new.advance(UNNOTICED_S)
        assert client.got() == b""
        planes.new.unpause()
    end = parse_replies(client.got())
    assert [each[0] for each in end] == [b"MIGRATED"]  # type: ignore[index]
    assert end[0][1] > begin[0][1], "libraries pass over lower numbers"  # type: ignore[index]


def test_what_a_held_client_was_told_at_last_is_known_when_it_stays(planes: Planes) -> None:
    client = listener(planes)
    planes.sockets.refuses = True
    planes.begin(client)
    planes.old.pause()
    planes.old.advance(UNNOTICED_S)
    planes.old.unpause()
    assert names(client.got()) == [b"MIGRATING", b"MIGRATED"]


def test_pushes_keep_their_header() -> None:
    assert push_header(2, 3) == b">2\r\n"


# -- many at once


def test_many_go_a_few_at_a_time_and_all_arrive(planes: Planes) -> None:
    clients = [planes.client() for _ in range(70)]
    for client in clients:
        client.send(GET)
    planes.old.server.send(VALUE * 70)
    planes.begin(*clients)
    for _ in range(5):
        planes.old.advance(POLL_S)
    planes.done()
    for at, client in enumerate(clients, 1):
        assert client.got() == VALUE and client.ask("CLIENT", "ID") == b":%d\r\n" % at
    planes.nothing_is_left()


def test_what_arrives_while_nobody_has_the_socket_waits_in_it(planes: Planes) -> None:
    client = planes.client()

    class Slow:
        async def prepare(self, state: bytes, marker: bytes) -> None: ...

        async def adopt(self, state: bytes, fd: int) -> None:
            client.send(GET)
            await planes.target.adopt(state, fd)

        def abandon(self, client_id: int) -> None: ...

    target: Any = Slow()
    planes.handover._target = target
    planes.hand_over(client)
    assert planes.new.server.got() == GET
