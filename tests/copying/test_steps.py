"""The old server works at the next step of a pass while one is being read, unless what it reads might be overtaken."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import ensureDeferred

from redisproxy.copying.batches import Batch, Batches
from redisproxy.copying.endpoint import Features
from redisproxy.copying.pace import FIRST_QUIET_S, LOOK_S, Pace
from redisproxy.copying.steps import MOST_AHEAD, Steps
from redisproxy.net.errors import UplinkUnavailable
from tests.copying.test_bulk_connection import Server, error_of


class Pass:
    """A pass over a database of a server that the test plays."""

    def __init__(self) -> None:
        self.server, self.may = Server(), True
        batches = Batches(self.server.connection, Features(), frozenset())
        self.pace = Pace(self._latency_s, self._commands, self.server.clock)
        beginning = ensureDeferred(self.pace.begin())
        self.server.clock.advance(FIRST_QUIET_S)
        assert beginning.called
        self.steps = Steps(batches, self.pace, lambda: self.may, False, self.server.clock)

    async def _latency_s(self) -> float:
        return 0.0

    async def _commands(self) -> int:
        return 0

    @property
    def asked(self) -> int:
        """How many steps have begun: a pair of SCANs each."""
        return int(self.server.transport.value().count(b"$4\r\nSCAN")) // 2

    def next(self) -> list[Batch]:
        got: list[Any] = []
        ensureDeferred(self.steps.next()).addBoth(got.append)
        return got


def scanned(cursor: bytes, name: bytes) -> bytes:
    return b"*2\r\n$%d\r\n%s\r\n*1\r\n$1\r\n%s\r\n" % (len(cursor), cursor, name) * 2


def value(of: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(of), of)


def written(batch: Batch) -> bytes:
    """The value in the only SET of a batch."""
    return batch.wire.split(b"\r\n")[-2]


def test_the_next_step_begins_when_the_cursor_has_come() -> None:
    scan = Pass()
    got = scan.next()
    scan.server.says(scanned(b"17", b"a"))
    assert scan.asked == 2 and scan.steps.ahead and not got
    scan.server.says(scanned(b"0", b"b") + value(b"of a"))
    assert got[0].cursor == b"17" and written(got[0]) == b"of a" and scan.steps.ahead
    following = scan.next()
    scan.server.says(value(b"of b"))
    assert written(following[0]) == b"of b" and scan.asked == 2 and not scan.steps.ahead


def test_what_nobody_takes_is_not_read_without_bound() -> None:
    """A new server that is slow has the old one wait, not the memory grow."""
    scan = Pass()
    scan.next()
    scan.server.says(scanned(b"1", b"a"))
    for cursor in range(2, 20):
        scan.server.says(scanned(b"%d" % cursor, b"a") + value(b"of a") if cursor <= scan.asked else b"")
    assert scan.asked == MOST_AHEAD + 1


def test_it_does_not_begin_while_changes_have_to_be_copied_before_it() -> None:
    scan = Pass()
    got = scan.next()
    scan.may = False
    scan.server.says(scanned(b"17", b"a") + value(b"of a"))
    assert got[0].cursor == b"17" and scan.asked == 1 and not scan.steps.ahead


def test_it_does_not_begin_before_the_server_had_its_rest() -> None:
    scan = Pass()
    got = scan.next()
    scan.server.clock.advance(LOOK_S * 2)
    scan.server.says(scanned(b"17", b"a") + value(b"of a"))
    assert got and scan.asked == 1
    scan.next()
    assert scan.asked == 2


def test_a_pass_that_is_given_up_leaves_no_step_behind() -> None:
    scan = Pass()
    scan.next()
    scan.server.says(scanned(b"17", b"a")[:20])
    scan.steps.end()
    assert not scan.steps.ahead and isinstance(error_of(scan.server.ask(("PING",))), UplinkUnavailable)
