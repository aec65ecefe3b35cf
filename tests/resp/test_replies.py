"""Where replies end, at every cut."""

from __future__ import annotations

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redisproxy import resp
from redisproxy.forwarding.twins import ReplyScanner
from redisproxy.resp import ProtocolError
from tests.resp.cutting import cut


def test_it_stops_after_as_many_as_are_wanted() -> None:
    assert ReplyScanner().scan(b"+a\r\n+b\r\n+c\r\n", 0, 2) == (8, 2)


def test_a_push_is_not_a_reply() -> None:
    scanner = ReplyScanner()
    assert scanner.scan(b">2\r\n+message\r\n+x\r\n+OK\r\n", 0, 1) == (23, 1)
    assert scanner.pushes == 1


READ_ONLY = b"-READONLY You can't write against a read only replica.\r\n"


@pytest.mark.parametrize("before", [b"", b"+OK\r\n", b"*1\r\n-READONLY inside\r\n", b"-READONLE\r\n"])
def test_a_replica_that_refuses_a_write_is_noticed_wherever_its_answer_is_cut(before: bytes) -> None:
    for at in range(len(before) + 1, len(before + READ_ONLY)):
        scanner, data = ReplyScanner(), before + READ_ONLY
        scanner.scan(data[: len(before)], 0, 9)
        assert not scanner.read_only
        for piece in (data[len(before) : at], data[at:]):
            scanner.scan(piece, 0, 9)
        assert scanner.read_only and not scanner.mid


@pytest.mark.parametrize(
    "data", [b"$20\r\n-READONLY 345678901\r\n", b"+-READONLY x\r\n", b"-READONL", b"-ERR READONLY \r\n"]
)
def test_nothing_else_passes_for_that(data: bytes) -> None:
    for at in range(len(data)):
        scanner = ReplyScanner()
        for piece in (data[:at], data[at:]):
            scanner.scan(piece, 0, 9)
        assert not scanner.read_only


@pytest.mark.parametrize("data", [b"HTTP/1.1", b"$?\r\n", b"$-2\r\n", b"*99999999999999999999\r\n", b"$" + b"1" * 70])
def test_what_is_no_reply_is_an_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        ReplyScanner().scan(data, 0, 1)


simple = st.sampled_from(
    [b"+OK\r\n", b"-ERR no\r\n", b":12\r\n", b"$-1\r\n", b"*-1\r\n", b"_\r\n", b"#t\r\n", b",1.5\r\n"]
)


bulks = st.binary(max_size=30).map(resp.bulk)
verbatims = st.binary(max_size=20).map(lambda value: resp.verbatim(value, 3))


def nest(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    several = st.lists(inner, max_size=3)
    return st.one_of(
        several.map(lambda items: b"*%d\r\n" % len(items) + b"".join(items)),
        several.map(lambda items: b"~%d\r\n" % len(items) + b"".join(items)),
        several.map(lambda items: b"%%%d\r\n" % len(items) + b"".join(b"+k\r\n" + item for item in items)),
        inner.map(lambda item: b"|1\r\n+a\r\n+b\r\n" + item),
    )


replies = st.recursive(st.one_of(simple, bulks, verbatims), nest, max_leaves=8)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(cut(st.lists(replies, min_size=1, max_size=6).map(b"".join)), st.integers(1, 4))
def test_any_split_of_replies_counts_the_same(case: tuple[bytes, list[bytes]], want: int) -> None:
    data, pieces = case
    whole, expected = ReplyScanner().scan(data, 0, 1 << 30)
    assert whole == len(data)
    scanner = ReplyScanner()
    done = 0
    for piece in pieces:
        at = 0
        while at < len(piece):
            at, more = scanner.scan(piece, at, want)
            assert more <= want
            done += more
    assert done == expected == len(resp.parse_replies(data)) and not scanner.mid


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.one_of(simple, bulks), min_size=1, max_size=6).map(b"".join))
def test_hiredis_counts_the_same(data: bytes) -> None:
    reader = hiredis.Reader()
    reader.feed(data)
    count = 0
    while reader.gets() is not False:  # none of these replies is RESP3's false
        count += 1
    assert ReplyScanner().scan(data, 0, 1 << 30) == (len(data), count)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"*2\r\n", b"$3\r\n", b"\r\n", b"%1\r\n", b">"]))))
def test_garbage_replies_are_an_error_or_wait(pieces: list[bytes]) -> None:
    scanner = ReplyScanner()
    for piece in pieces:
        at = 0
        try:
            while at < len(piece):
                at, _ = scanner.scan(piece, at, 3)
        except ProtocolError:
            return
