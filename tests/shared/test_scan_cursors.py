"""Cursors that know their server."""

from __future__ import annotations

import pytest

from redisproxy.shared import scan_cursors
from redisproxy.shared.scan_cursors import Marks

MARKS = Marks()


def scan(cursor: int | bytes, name: bytes = b"SCAN") -> list[bytes]:
    text = cursor if isinstance(cursor, bytes) else b"%d" % cursor
    return [name, text] if name == b"SCAN" else [name, b"key", text]


def test_before_the_first_switch_nothing_changes() -> None:
    args = scan(17)
    assert scan_cursors.incoming(args, 0, False, MARKS) is args


@pytest.mark.parametrize("name", [b"SCAN", b"hscan", b"SScan", b"ZSCAN"])
@pytest.mark.parametrize("number", [1, 2, 4095, 4096, 10000])
def test_a_marked_cursor_comes_back_as_redis_gave_it(name: bytes, number: int) -> None:
    reply = scan_cursors.outgoing(b"*2\r\n$2\r\n17\r\n*0\r\n", number, MARKS)
    marked = int(reply.split(b"\r\n")[2])
    assert reply.endswith(b"\r\n*0\r\n") and 17 < marked < 2**53
    args = scan(marked, name)
    assert scan_cursors.incoming(args, number, False, MARKS) == scan(17, name)
    assert (
        scan_cursors.incoming(args, number + 1, False, MARKS) is None
        and scan_cursors.incoming(args, 0, False, MARKS) is None
    )
    assert scan_cursors.incoming(args, number + 1, True, MARKS) == scan(17, name)


def test_the_end_and_the_beginning_are_the_same_everywhere() -> None:
    assert scan_cursors.outgoing(b"*2\r\n$1\r\n0\r\n*0\r\n", 3, MARKS) == b"*2\r\n$1\r\n0\r\n*0\r\n"
    args = scan(0)
    assert scan_cursors.incoming(args, 3, False, MARKS) is args


@pytest.mark.parametrize("cursor", [b"9223372036854775808", b"4503599627370496", b"x", b"-1", b"", b"9" * 30])
def test_what_is_no_cursor_is_for_redis_to_refuse(cursor: bytes) -> None:
    args = scan(cursor)
    assert scan_cursors.incoming(args, 3, False, MARKS) is args


def test_a_reply_is_complete_for_marking_once_its_cursor_has_arrived() -> None:
    reply = b"*2\r\n$3\r\n123\r\n*1\r\n$1\r\na\r\n"
    complete = [scan_cursors.head_is_complete(reply[:size]) for size in range(1, len(reply))]
    assert complete.index(True) == len(b"*2\r\n$3\r\n123\r\n") - 1 and all(complete[complete.index(True) :])
    assert scan_cursors.head_is_complete(b"-ERR") and scan_cursors.outgoing(b"-ERR x\r\n", 1, MARKS) == b"-ERR x\r\n"


def given(reply: bytes) -> int:
    return int(reply.split(b"\r\n")[2])


def reply(cursor: int) -> bytes:
    return b"*2\r\n$%d\r\n%d\r\n*0\r\n" % (len(str(cursor)), cursor)


@pytest.mark.parametrize("ours", [0, 1, 7])
@pytest.mark.parametrize("theirs", [0, 1, 7, 4095])
def test_a_cursor_that_another_proxy_has_marked_goes_back_to_it_as_it_was(ours: int, theirs: int) -> None:
    marks, further = Marks(), 99 | theirs << scan_cursors.SHIFT
    cursor = given(scan_cursors.outgoing(reply(further), ours, marks))
    assert cursor < 2**53 and given(scan_cursors.outgoing(reply(further), ours, marks)) == cursor
    assert (scan_cursors.incoming(scan(cursor), ours, False, marks) or [b""])[1] == b"%d" % further
    for other in {0, 1, 2, 7, 8} - {ours}:
        assert scan_cursors.incoming(scan(cursor), other, False, marks) is None
        assert (scan_cursors.incoming(scan(cursor), other, True, marks) or [b""])[1] == b"%d" % further
    assert scan_cursors.incoming(scan(99 | 5 << scan_cursors.SHIFT), ours, False, marks) is None, (
        "nobody has given that one"
    )


def test_marks_never_run_out() -> None:
    marks = Marks()
    for number in range(10000):
        assert 0 < marks.mark(number, 1) < scan_cursors.NUMBERS
    assert marks.further(marks.mark(9999, 1), 9999, False) == 1


def test_workers_that_know_nothing_of_each_other_give_the_same_marks() -> None:
    """A client goes with its cursor from one to another, and must not be led to other keys."""
    here, there = Marks(), Marks()
    servers = [(number, further) for number in range(6) for further in (1, 2, 4095)]
    marks = {server: here.mark(*server) for server in servers}
    assert {server: there.mark(*server) for server in reversed(servers)} == marks
    assert len(set(marks.values())) == len(servers)
