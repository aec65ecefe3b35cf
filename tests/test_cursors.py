"""Cursors that know their server."""

from __future__ import annotations

import pytest

from redisproxy import cursors


def scan(cursor: int | bytes, name: bytes = b"SCAN") -> list[bytes]:
    text = cursor if isinstance(cursor, bytes) else b"%d" % cursor
    return [name, text] if name == b"SCAN" else [name, b"key", text]


def test_before_the_first_switch_nothing_changes() -> None:
    args = scan(17)
    assert cursors.incoming(args, 0, False) is args


@pytest.mark.parametrize("name", [b"SCAN", b"hscan", b"SScan", b"ZSCAN"])
@pytest.mark.parametrize("number", [1, 2, 4095, 4096, 10000])
def test_a_marked_cursor_comes_back_as_redis_gave_it(name: bytes, number: int) -> None:
    reply = cursors.outgoing(b"*2\r\n$2\r\n17\r\n*0\r\n", number)
    marked = int(reply.split(b"\r\n")[2])
    assert reply.endswith(b"\r\n*0\r\n") and 17 < marked < 2**53
    args = scan(marked, name)
    assert cursors.incoming(args, number, False) == scan(17, name)
    assert cursors.incoming(args, number + 1, False) is None and cursors.incoming(args, 0, False) is None
    assert cursors.incoming(args, number + 1, True) == scan(17, name)


def test_the_end_and_the_beginning_are_the_same_everywhere() -> None:
    assert cursors.outgoing(b"*2\r\n$1\r\n0\r\n*0\r\n", 3) == b"*2\r\n$1\r\n0\r\n*0\r\n"
    args = scan(0)
    assert cursors.incoming(args, 3, False) is args


@pytest.mark.parametrize("cursor", [b"x", b"-1", b"", b"9" * 30])
def test_what_is_no_cursor_is_for_redis_to_refuse(cursor: bytes) -> None:
    args = scan(cursor)
    assert cursors.incoming(args, 3, False) is args


def test_a_reply_is_complete_for_marking_once_its_cursor_has_arrived() -> None:
    reply = b"*2\r\n$3\r\n123\r\n*1\r\n$1\r\na\r\n"
    complete = [cursors.head_is_complete(reply[:size]) for size in range(1, len(reply))]
    assert complete.index(True) == len(b"*2\r\n$3\r\n123\r\n") - 1 and all(complete[complete.index(True) :])
    assert cursors.head_is_complete(b"-ERR") and cursors.outgoing(b"-ERR x\r\n", 1) == b"-ERR x\r\n"
