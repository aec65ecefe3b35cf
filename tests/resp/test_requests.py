"""Where requests end, at every cut, with the limits and error texts of Redis."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redisproxy import resp
from redisproxy.forwarding.twins import RequestFramer
from redisproxy.resp import BEGIN, COMMAND, END, MORE, RUN, ProtocolError, encode_command
from tests.resp.cutting import cut

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


def test_a_run_of_plain_commands_is_the_very_bytes_that_came() -> None:
    data = encode_command("GET", "a") * 3
    framer = RequestFramer(SPECIAL)
    framer.feed(data)
    unit = framer.next()
    assert unit is not None and unit[1] is data and unit[2] == 3 and framer.next() is None


def test_a_special_command_ends_a_run() -> None:
    get, auth = encode_command("GET", "a"), encode_command("auth", "x")
    assert framed(get + auth + get) == [(RUN, get, 1), (COMMAND, auth, [b"auth", b"x"]), (RUN, get, 1)]


def test_inline_commands_come_re_encoded() -> None:
    assert framed(b'set "a b" \'c\' "\\x41\\n"\r\n') == [
        (COMMAND, encode_command("set", "a b", "c", "A\n"), [b"set", b"a b", b"c", b"A\n"])
    ]


def test_empty_commands_are_skipped() -> None:
    get = encode_command("GET", "a")
    assert framed(b"\r\n\n*0\r\n*-1\r\n" + get + b"*0\r\n" + get) == [(RUN, get, 1), (RUN, get, 1)]


def test_a_large_command_is_passed_on_in_pieces() -> None:
    large = encode_command("SET", "a", "x" * 1000)
    framer = RequestFramer(SPECIAL, max_held_bytes=100)
    framer.feed(large[:60])
    assert units(framer) == [(BEGIN, large[:60], [b"SET", b"a"])]
    framer.feed(large[60:500])
    assert units(framer) == [(MORE, large[60:500], 0)]
    framer.feed(large[500:] + encode_command("GET", "a"))
    assert units(framer) == [(END, large[500:], 0), (RUN, encode_command("GET", "a"), 1)]
    assert framer.buffered == 0


def test_many_arguments_make_a_large_command_too() -> None:
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
def test_an_error_is_told_in_redis_own_words_and_stays(data: bytes, text: str) -> None:
    framer = RequestFramer(SPECIAL)
    framer.feed(data)
    for _ in range(2):
        with pytest.raises(ProtocolError) as caught:
            framer.next()
        assert caught.value.text == f"Protocol error: {text}"


def test_what_came_before_an_error_comes_first() -> None:
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
def test_small_limits_before_authentication(data: bytes, text: str) -> None:
    framer = RequestFramer(None)
    framer.authenticated = False
    framer.feed(data)
    with pytest.raises(ProtocolError, match=text):
        framer.next()


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


arguments = st.binary(max_size=40)
names = st.sampled_from([b"GET", b"set", b"AUTH", b"multi", b"X" * 40])
commands = st.builds(lambda name, args: encode_command(name, *args), names, st.lists(arguments, max_size=4))


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
