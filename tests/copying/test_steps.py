"""The old server works at the next step of a pass while one is being read, unless what it reads might be overtaken."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import ensureDeferred

from redisproxy.copying.batches import Batch, Batches
from redisproxy.copying.endpoint import Features
from redisproxy.copying.pace import LOOK_S, Pace
from redisproxy.copying.steps import Steps
from redisproxy.net.errors import UplinkUnavailable
from tests.copying.test_bulk_connection import Server, error_of


class Pass:
    """A pass over a database of a server that the test plays."""

    def __init__(self) -> None:
        self.server, self.may = Server(), True
        batches = Batches(self.server.connection, Features(), frozenset())
        self.pace = Pace(self._latency_s, self.server.clock)
        self.steps = Steps(batches, self.pace, lambda: self.may, False, self.server.clock)

    async def _latency_s(self) -> float:
        return 0.0

    @property
    def asked(self) -> int:
        return int(self.server.transport.value().count(b"$4\r\nEVAL"))

    def next(self) -> list[Batch]:
        got: list[Any] = []
        ensureDeferred(self.steps.next()).addBoth(got.append)
        return got


def answer(cursor: bytes, name: bytes) -> bytes:
    return b"*5\r\n$%d\r\n%s\r\n:0\r\n$0\r\n\r\n*1\r\n$1\r\n%s\r\n:0\r\n" % (len(cursor), cursor, name)


def test_the_next_step_begins_when_the_cursor_has_come() -> None:
    scan = Pass()
    got = scan.next()
    first = answer(b"17", b"a")
    scan.server.says(first[:15])
    assert scan.asked == 2 and scan.steps.ahead and not got
    scan.server.says(first[15:] + answer(b"0", b"b"))
    assert got[0].cursor == b"17" and got[0].named == [b"a"] and scan.steps.ahead
    assert scan.next()[0].named == [b"b"] and scan.asked == 2 and not scan.steps.ahead


def test_it_does_not_begin_while_changes_have_to_be_copied_before_it() -> None:
    scan = Pass()
    got = scan.next()
    scan.may = False
    scan.server.says(answer(b"17", b"a"))
    assert got[0].cursor == b"17" and scan.asked == 1 and not scan.steps.ahead


def test_it_does_not_begin_before_the_server_had_its_rest() -> None:
    scan = Pass()
    got = scan.next()
    scan.server.clock.advance(LOOK_S * 2)
    scan.server.says(answer(b"17", b"a"))
    assert got and scan.asked == 1
    scan.next()
    assert scan.asked == 2


def test_a_pass_that_is_given_up_leaves_no_step_behind() -> None:
    scan = Pass()
    scan.next()
    scan.server.says(answer(b"17", b"a")[:20])
    scan.steps.end()
    assert not scan.steps.ahead and isinstance(error_of(scan.server.ask(("PING",))), UplinkUnavailable)
