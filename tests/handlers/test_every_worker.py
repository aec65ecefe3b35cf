"""CLIENT LIST, KILL and UNBLOCK with several workers: who asks waits for the answer, and nobody else does."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from redisproxy.resp import encode_command as cmd
from redisproxy.shared.every_worker import ClientFilter, NotAnswered
from tests.wire import Wire

SET = cmd("SET", "a", 1)


class Others:
    """Implements C{every_worker.EveryWorker}: the test answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answer: Deferred[Any] = Deferred()

    def _ask(self, *what: Any) -> Deferred[Any]:
        self.asked.append(what)
        self.answer = Deferred()
        return self.answer

    def list(self, which: ClientFilter) -> Deferred[bytes]:
        return self._ask("list", which)

    def kill(self, which: ClientFilter, but: int) -> Deferred[int]:
        return self._ask("kill", which, but)

    def unblock(self, client_id: int, error: bool) -> Deferred[bool]:
        return self._ask("unblock", client_id, error)


def with_others(wire: Wire) -> Others:
    others = Others()
    wire.core.every_worker = others
    return others


def test_who_asks_for_a_list_waits_alone_and_goes_on_in_order(wire: Wire) -> None:
    others = with_others(wire)
    asking, other = wire.client(), wire.client()
    asking.send(cmd("CLIENT", "LIST", "TYPE", "normal") + SET)
    assert asking.got() == b"" and not wire.servers and others.asked == [("list", ClientFilter(pubsub=False))]
    assert other.ask("CLIENT", "ID") == b":2\r\n"
    others.answer.callback(b"id=1 \nid=7 \n")
    assert asking.got() == b"$12\r\nid=1 \nid=7 \n\r\n"
    wire.turn()
    assert wire.servers[0].got().endswith(SET)


def test_an_answer_that_does_not_come_is_an_error(wire: Wire) -> None:
    others = with_others(wire)
    client = wire.client()
    for command in (["LIST"], ["KILL", "ID", 9], ["UNBLOCK", 9]):
        client.send(cmd("CLIENT", *command))
        others.answer.errback(Failure(NotAnswered("worker 2 has not answered")))
        assert client.got() == b"-ERR redisproxy: worker 2 has not answered\r\n"
    assert client.ask("CLIENT", "ID") == b":1\r\n"


def test_kill_counts_those_of_others_and_the_client_itself_last(wire: Wire) -> None:
    others = with_others(wire)
    client = wire.client()
    client.send(cmd("CLIENT", "KILL", "TYPE", "normal"))
    assert others.asked == [("kill", ClientFilter(pubsub=False), 1)]
    others.answer.callback(3)
    assert client.got() == b":3\r\n" and not client.closed
    client.send(cmd("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no") + SET)
    others.answer.callback(3)
    assert client.got() == b":4\r\n"
    wire.turn()
    assert client.closed and not wire.servers


def test_a_kill_that_meets_nobody_says_so_as_redis_does(wire: Wire) -> None:
    others = with_others(wire)
    client = wire.client()
    for arguments, reply in {
        ("1.2.3.4:5",): b"-ERR No such client\r\n",
        ("USER", "nobody"): b"-ERR No such user 'nobody'\r\n",
        ("ID", 9): b":0\r\n",
    }.items():
        client.send(cmd("CLIENT", "KILL", *arguments))
        others.answer.callback(0)
        assert client.got() == reply


def test_only_clients_of_others_are_unblocked_by_asking(wire: Wire) -> None:
    others = with_others(wire)
    client = wire.client()
    assert client.ask("CLIENT", "UNBLOCK", 1) == b":0\r\n" and others.asked == []
    client.send(cmd("CLIENT", "UNBLOCK", 9, "ERROR"))
    assert others.asked == [("unblock", 9, True)]
    others.answer.callback(True)
    assert client.got() == b":1\r\n"


def test_a_client_that_leaves_while_it_waits_is_answered_nothing(wire: Wire) -> None:
    others = with_others(wire)
    client = wire.client()
    client.send(cmd("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no"))
    client.transport.lose()
    others.answer.callback(2)
    assert client.got() == b"" and wire.core.metrics.clients.closed == {}


def test_replies_that_are_switched_off_stay_so(wire: Wire) -> None:
    others = with_others(wire)
    client = wire.client()
    client.send(cmd("CLIENT", "REPLY", "SKIP") + cmd("CLIENT", "UNBLOCK", 9) + cmd("CLIENT", "ID"))
    others.answer.callback(True)
    assert client.got() == b":1\r\n"
