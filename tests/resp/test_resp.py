"""Framing: where requests and replies end, at every split, with Redis's limits and error texts."""

from __future__ import annotations

from itertools import pairwise

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redisproxy import resp
from redisproxy.forwarding.twins import ReplyScanner, RequestFramer
from redisproxy.resp import BEGIN, COMMAND, END, MORE, RUN, ProtocolError, RespError, encode_command

SPECIAL = frozenset({b"AUTH", b"MULTI"})
Unit = tuple[int, bytes, object]


def units(framer: RequestFramer) -> list[Unit]:
    found: list[Unit] = []
    while (unit := framer.next()) is not None:
        found.append(unit)
    return found


def merged(found: list[Unit]) -> list[Unit]:
    """Runs that follow each other made one, so that splits do not matter."""
    result: list[Unit] = []
    for kind, data, extra in found:
        if kind == RUN and result and result[-1][0] == RUN:
            last = result.pop()
            result.append((RUN, last[1] + data, int(str(last[2])) + int(str(extra))))
        else:
            result.append((kind, data, extra))
    return result


def framed(data: bytes, **options: int) -> list[Unit]:
    framer = RequestFramer(SPECIAL, **options)
    framer.feed(data)
    return units(framer)


class TestRequests:
    def test_a_run_of_plain_commands_is_the_very_bytes_that_came(self) -> None:
        data = encode_command("GET", "a") * 3
        framer = RequestFramer(SPECIAL)
        framer.feed(data)
        unit = framer.next()
        assert unit is not None and unit[1] is data and unit[2] == 3 and framer.next() is None

    def test_a_special_command_ends_a_run(self) -> None:
        get, auth = encode_command("GET", "a"), encode_command("auth", "x")
        assert framed(get + auth + get) == [(RUN, get, 1), (COMMAND, auth, [b"auth", b"x"]), (RUN, get, 1)]

    def test_inline_commands_come_re_encoded(self) -> None:
        assert framed(b'set "a b" \'c\' "\\x41\\n"\r\n') == [
            (COMMAND, encode_command("set", "a b", "c", "A\n"), [b"set", b"a b", b"c", b"A\n"])
        ]

    def test_empty_commands_are_skipped(self) -> None:
        get = encode_command("GET", "a")
        assert framed(b"\r\n\n*0\r\n*-1\r\n" + get + b"*0\r\n" + get) == [(RUN, get, 1), (RUN, get, 1)]

    def test_a_large_command_is_passed_on_in_pieces(self) -> None:
        large = encode_command("SET", "a", "x" * 1000)
        framer = RequestFramer(SPECIAL, max_held_bytes=100)
        framer.feed(large[:60])
        assert units(framer) == [(BEGIN, large[:60], [b"SET", b"a"])]
        framer.feed(large[60:500])
        assert units(framer) == [(MORE, large[60:500], 0)]
        framer.feed(large[500:] + encode_command("GET", "a"))
        assert units(framer) == [(END, large[500:], 0), (RUN, encode_command("GET", "a"), 1)]
        assert framer.buffered == 0

    def test_many_arguments_make_a_large_command_too(self) -> None:
        large = encode_command("DEL", *(f"key:{number}" for number in range(100)))
        framer = RequestFramer(SPECIAL, max_held_bytes=200)
        seen = b""
        for at in range(0, len(large), 7):
            framer.feed(large[at : at + 7])
            seen += b"".join(data for _, data, _ in units(framer))
            assert framer.buffered <= 207
        assert seen == large

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (b"*x\r\n", "invalid multibulk length"),
            (b"*01\r\n", "invalid multibulk length"),
            (b"*2147483648\r\n", "invalid multibulk length"),
            (b"*1\r\n:1\r\n", "expected '$', got ':'"),
            (b"*1\r\n\r\n", "expected '$', got '?'"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$x\r\n", "invalid bulk length"),
            (b"*1\r\n$536870913\r\n", "invalid bulk length"),
            (b'"\r\n', "unbalanced quotes in request"),
            (b'"a"b\r\n', "unbalanced quotes in request"),
            (b"x" * 65537, "too big inline request"),
            (b"*" + b"1" * 65536, "too big mbulk count string"),
            (b"*1\r\n$" + b"1" * 65536, "too big bulk count string"),
        ],
    )
    def test_an_error_is_told_in_redis_own_words_and_stays(self, data: bytes, text: str) -> None:
        framer = RequestFramer(SPECIAL)
        framer.feed(data)
        for _ in range(2):
            with pytest.raises(ProtocolError) as caught:
                framer.next()
            assert caught.value.text == f"Protocol error: {text}"

    def test_what_came_before_an_error_comes_first(self) -> None:
        get = encode_command("GET", "a")
        framer = RequestFramer(SPECIAL)
        framer.feed(get + b"*x\r\n")
        assert framer.next() == (RUN, get, 1)
        with pytest.raises(ProtocolError):
            framer.next()

    @pytest.mark.parametrize(
        ("data", "text"),
        [(b"*11\r\n", "unauthenticated multibulk length"), (b"*1\r\n$16385\r\n", "unauthenticated bulk length")],
    )
    def test_small_limits_before_authentication(self, data: bytes, text: str) -> None:
        framer = RequestFramer(None)
        framer.authenticated = False
        framer.feed(data)
        with pytest.raises(ProtocolError, match=text):
            framer.next()


arguments = st.binary(max_size=40)
names = st.sampled_from([b"GET", b"set", b"AUTH", b"multi", b"X" * 40])
commands = st.builds(lambda name, args: encode_command(name, *args), names, st.lists(arguments, max_size=4))


@st.composite
def cut(draw: st.DrawFn, stream: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    data = draw(stream)
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    edges = [0, *places, len(data)]
    return data, [data[start:end] for start, end in pairwise(edges)]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(cut(st.lists(commands, max_size=12).map(b"".join)))
def test_any_split_of_a_valid_stream_gives_the_same_commands(case: tuple[bytes, list[bytes]]) -> None:
    data, pieces = case
    framer = RequestFramer(SPECIAL)
    found: list[Unit] = []
    for piece in pieces:
        framer.feed(piece)
        found += units(framer)
    assert merged(found) == merged(framed(data))
    assert b"".join(raw for _, raw, _ in found) == data and framer.buffered == 0


@settings(max_examples=300, deadline=None, derandomize=True)
@given(cut(st.lists(commands, max_size=12).map(b"".join)))
def test_any_split_with_a_small_bound_passes_every_byte_and_holds_little(case: tuple[bytes, list[bytes]]) -> None:
    data, pieces = case
    framer = RequestFramer(SPECIAL, max_held_bytes=64)
    seen = b""
    for piece in pieces:
        framer.feed(piece)
        seen += b"".join(raw for _, raw, _ in units(framer))
        assert framer.buffered <= 64 + len(piece)
    assert seen == data


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"*2\r\n", b"$3\r\n", b"\r\n", b"*-1\r\n", b"$"]))))
def test_garbage_is_an_error_or_waits(pieces: list[bytes]) -> None:
    framer = RequestFramer(SPECIAL, max_held_bytes=200)
    for piece in pieces:
        framer.feed(piece)
        try:
            units(framer)
        except ProtocolError:
            return
        assert framer.buffered <= 70000


# -- replies

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


class TestReplies:
    def test_it_stops_after_as_many_as_are_wanted(self) -> None:
        assert ReplyScanner().scan(b"+a\r\n+b\r\n+c\r\n", 0, 2) == (8, 2)

    def test_a_push_is_not_a_reply(self) -> None:
        scanner = ReplyScanner()
        assert scanner.scan(b">2\r\n+message\r\n+x\r\n+OK\r\n", 0, 1) == (23, 1)
        assert scanner.pushes == 1

    @pytest.mark.parametrize(
        "data", [b"HTTP/1.1", b"$?\r\n", b"$-2\r\n", b"*99999999999999999999\r\n", b"$" + b"1" * 70]
    )
    def test_what_is_no_reply_is_an_error(self, data: bytes) -> None:
        with pytest.raises(ProtocolError):
            ReplyScanner().scan(data, 0, 1)

    def test_small_replies_parsed_whole(self) -> None:
        data = b"*4\r\n$1\r\na\r\n:1\r\n-ERR x\r\n%1\r\n+k\r\n_\r\n"
        assert resp.parse_reply(data) == [b"a", 1, RespError("ERR x"), {b"k": None}]
        with pytest.raises(resp.IncompleteReply):
            resp.parse_reply(data[:-3])
        with pytest.raises(ProtocolError):
            resp.parse_reply(b"*1\r\n" * 40 + b":1\r\n")

    def test_errors_can_not_break_the_line(self) -> None:
        assert resp.error("ERR a\r\n+OK") == b"-ERR a  +OK\r\n"


@pytest.mark.parametrize("cut", [1, 9, 12, 40])
def test_a_command_name_too_long_to_hold_is_an_error_wherever_it_is_cut(cut: int) -> None:
    data = b"*1\r\n$40\r\n" + b"n" * 40 + b"\r\n"
    framer = RequestFramer(SPECIAL, max_held_bytes=32)
    with pytest.raises(ProtocolError, match="too big bulk count string"):
        for piece in (data[:cut], data[cut:]):
            framer.feed(piece)
            units(framer)


def test_arguments_are_those_that_redis_sees_whatever_follows_the_cr() -> None:
    assert resp.split_command(b"*2\r\n$4\r\tAUTH\r\n$1\r!x\r\n") == [b"AUTH", b"x"]


def test_attributes_may_not_nest_without_bound() -> None:
    with pytest.raises(ProtocolError):
        resp.parse_reply(b"|0\r\n" * 100000 + b"+OK\r\n")
