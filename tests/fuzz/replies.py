"""Fuzzes framing of replies: the twins agree, cuts do not matter, and hiredis counts as many in valid streams."""

from __future__ import annotations

import contextlib
from typing import Any

import hiredis

from redisproxy import resp
from redisproxy.resp import IncompleteReply, ProtocolError
from tests.fuzz.cutting import Case
from tests.fuzz.twins import Twin, same

TOKENS = [
    *(b"+OK\r\n", b"-ERR no\r\n", b":12\r\n", b"$-1\r\n", b"*-1\r\n", b"_\r\n", b"#t\r\n", b",1.5\r\n", b"(12\r\n"),
    *(b"*2\r\n", b"*0\r\n", b"~1\r\n", b"%1\r\n", b"%0\r\n", b">2\r\n", b"|1\r\n", b"|0\r\n", b"$3\r\nabc\r\n"),
    *(b"$0\r\n\r\n", b"=7\r\ntxt:abc\r\n", b"!5\r\nERR x\r\n", b"\r\n", b"\n", b"\r", b"*1099511627776\r\n"),
    *(b"*1099511627777\r\n", b"$99\r\n", b"%550000000000\r\n", b"%-1\r\n", b"$-2\r\n", b"*999999999999999999\r\n"),
    *(b"?", b"@", b"$?\r\n", b"$01\r\n", b"$" + b"0" * 70, b">", b"+", b"*", b"$", b"1" * 63, b"1" * 64, b"_" * 30),
]  # fmt: skip


def run(twin: Twin, wants: list[int], counts_pushes: bool, pieces: list[bytes]) -> tuple[Any, ...]:
    """Scan the pieces; return everything that can be observed."""
    scanner = twin.ReplyScanner()
    scanner.counts_pushes = counts_pushes
    steps: list[Any] = []
    done, error = 0, ""
    try:
        for number, piece in enumerate(pieces):
            at = 0
            while at < len(piece):
                before, want = at, wants[number % len(wants)]
                at, found = scanner.scan(piece, at, want)
                done += found
                steps.append((at, found, scanner.mid, scanner.pushes))
                assert before < at <= len(piece) and 0 <= found <= want, "no progress, or too much of it"
    except ProtocolError as problem:
        error = problem.text
    return steps, done, error, scanner.pushes, scanner.mid


def check(data: bytes) -> None:
    """Raise when a property does not hold for `data`."""
    case = Case(data)
    counts, wants = bool(case.choice & 1), [1 + case.random.randrange(4) for _ in range(4)]
    whole: tuple[Any, ...] | None = None
    for pieces in case.cuts():
        _, _, error, *_ = same(lambda twin, pieces=pieces: run(twin, wants, counts, pieces))  # type: ignore[misc]
        steps, *kept = same(lambda twin, pieces=pieces: run(twin, [1], counts, pieces))  # type: ignore[misc]
        assert error == kept[1], "an error depends on how many replies are wanted"
        kept = [kept[0], bool(error), kept[2], kept[3]]
        if whole is None:
            whole = tuple(kept)
            _parse(case.stream, steps)
        assert tuple(kept) == whole, f"cut {pieces} gives {kept}, not {whole}"


def _parse(stream: bytes, steps: list[Any]) -> None:
    """Parse what framing calls one reply: it is parsed, or refused in the one proper way."""
    start = 0
    for end, found, mid, _ in steps:
        if found and not mid:
            with contextlib.suppress(ProtocolError, IncompleteReply):
                resp.parse_reply(stream[start:end])
        start = end
    with contextlib.suppress(ProtocolError, IncompleteReply):
        resp.parse_replies(stream)


def check_valid(data: bytes) -> None:
    """Make a valid stream of `data`, and compare with hiredis."""
    case = Case(data)
    replies = list(valid(case.stream))
    whole = b"".join(replies)
    missing = object()
    reader = hiredis.Reader(replyError=Exception, notEnoughData=missing)
    reader.feed(whole)
    expected = 0
    while reader.gets() is not missing:
        expected += 1
    assert expected == len(replies), "what was to be valid is not"
    assert len(resp.parse_replies(whole)) == expected
    cut = Case(data[:2] + whole)
    for pieces in cut.cuts():
        _, done, error, pushes, mid = same(lambda twin, pieces=pieces: run(twin, [1, 3], True, pieces))  # type: ignore[misc]
        assert (done, error, mid) == (expected, "", False), (done, error, pushes, mid)


SCALARS = [
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":-12\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"_\r\n",
    b"#f\r\n",
    b",1.5\r\n",
    b"(99\r\n",
]


def valid(source: bytes) -> Any:
    """A valid reply for every few bytes of `source`."""
    left = list(source)
    while left:
        yield _reply(left, 0)


def _reply(left: list[int], depth: int) -> bytes:
    kind = left.pop() if left else 0
    if kind % 5 == 1 or depth >= 5:
        value = bytes(left.pop() for _ in range(min(kind // 5 % 12, len(left))))
        return resp.verbatim(value, 3) if kind >= 240 else resp.bulk(value)
    if kind % 5 == 2:
        count = kind // 5 % 4
        header = b"*%d\r\n" if kind < 128 or depth else b">%d\r\n"
        return header % (count or 1) + b"".join(_reply(left, depth + 1) for _ in range(count or 1))
    if kind % 5 == 3:
        count = kind // 5 % 3
        pairs = (b"$1\r\n%d\r\n" % number + _reply(left, depth + 1) for number in range(count))
        return b"%%%d\r\n" % count + b"".join(pairs)
    return SCALARS[kind // 5 % len(SCALARS)]
