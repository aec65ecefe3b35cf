"""Fuzzes framing of requests: the twins agree, cuts do not matter, and the commands are those that Redis would see."""

from __future__ import annotations

from typing import Any

import hiredis

from redisproxy.resp import BEGIN, COMMAND, END, MORE, RUN, ProtocolError, encode_command
from tests.fuzz.cutting import Case
from tests.fuzz.reference import Broken, requests
from tests.fuzz.twins import Twin, same

SPECIAL = frozenset({b"AUTH", b"MULTI", b"SHUTDOWN"})
SMALL = {"max_args": 20, "max_bulk_bytes": 100, "max_inline_bytes": 40}
OPTIONS: list[tuple[frozenset[bytes] | None, bool, dict[str, int]]] = [
    (SPECIAL, True, {}),
    (None, True, {}),
    (None, False, {}),
    (SPECIAL, True, {"max_held_bytes": 64, **SMALL}),
    (None, True, {"max_held_bytes": 100, **SMALL}),
    (SPECIAL, True, {"max_held_bytes": 16}),
]
TOKENS = [
    *(b"*1\r\n", b"*2\r\n", b"*3\r\n", b"$4\r\n", b"$3\r\n", b"$0\r\n", b"\r\n", b"\n", b"\r", b"*-1\r\n", b"*0\r\n"),
    *(b"*2\r\t", b"$8\r\t", b"$-1\r\n", b"$99\r\n", b"*01\r\n", b"$+1\r\n", b"$ 1\r\n", b"-", b"*", b"$", b"\0"),
    *(b"$4\r\nAUTH\r\n", b"$5\r\nmulti\r\n", b"$8\r\nSHUTDOWN\r\n", b"$3\r\nGET\r\n", b"$1\r\na\r\n", b"$0\r\n\r\n"),
    *(b"*1\r\n$4\r\nPING\r\n", b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", b"*2\r\n$4\r\nAUTH\r\n$1\r\nx\r\n", b"PING\r\n"),
    *(b"*11\r\n", b"$16385\r\n", b"*1048577\r\n", b"$536870913\r\n", b"*9223372036854775807\r\n", b'"', b"'", b"\\x4"),
    *(b"a" * 40, b"$90\r\n" + b"b" * 90 + b"\r\n", b"*21\r\n", b"$101\r\n", b"\v", b"\f", b" "),
]


class Seen:
    """What one framer has given.

    @ivar units: unit by unit, for comparing twins. @ivar complete: the bytes of complete commands.
    @ivar count: how many those are. @ivar partial: what has passed of a large one.
    """

    def __init__(self) -> None:
        self.units: list[Any] = []
        self.complete = b""
        self.partial = b""
        self.count = 0
        self.error = ""

    def take(self, unit: tuple[int, bytes, Any]) -> None:
        kind, data, extra = unit
        self.units.append(unit)
        self.partial += data
        assert data or kind == END, f"an empty unit {kind}"
        if kind in (RUN, COMMAND, END):
            self.complete += self.partial
            self.partial = b""
            self.count += extra if kind == RUN else 1
        if kind in (BEGIN, COMMAND):
            assert isinstance(extra, list) and all(type(arg) is bytes for arg in extra)
        if kind == MORE:
            assert len(self.partial) > len(data), "MORE without BEGIN"


def run(twin: Twin, choice: int, pieces: list[bytes]) -> tuple[Any, ...]:
    """Feed the pieces; return everything that can be observed."""
    special, authenticated, options = OPTIONS[choice % len(OPTIONS)]
    framer = twin.RequestFramer(special, **options)
    framer.authenticated = authenticated
    seen = Seen()
    try:
        for piece in pieces:
            framer.feed(piece)
            while (unit := framer.next()) is not None:
                seen.take(unit)
            seen.units.append(framer.buffered)
            bound = max(options.get("max_held_bytes", 262144), options.get("max_inline_bytes", 65536))
            assert framer.buffered <= bound + 65536 + len(piece), "more is held than may be"
    except ProtocolError as error:
        seen.error = error.text
    return seen.units, seen.complete, seen.count, seen.error, seen.partial


def check(data: bytes) -> None:
    """Raise when a property does not hold for `data`."""
    case = Case(data)
    whole: tuple[Any, ...] | None = None
    for pieces in case.cuts():
        units, complete, count, error, partial = same(lambda twin, pieces=pieces: run(twin, case.choice, pieces))  # type: ignore[misc]
        kept = (complete, count, bool(error), "" if error else partial)
        if whole is None:
            whole = kept
            _compare(case, units, count, error)
        assert kept == whole, f"cut {pieces} gives\n{kept}\nnot\n{whole}"


def _compare(case: Case, units: list[Any], count: int, error: str) -> None:
    """Compare with how Redis frames, for streams without inline commands."""
    _, authenticated, options = OPTIONS[case.choice % len(OPTIONS)]
    expected, broken = [], False
    try:
        bounds = options.get("max_args", (1 << 31) - 1), options.get("max_bulk_bytes", 1 << 29)
        for each in requests(case.stream, *bounds):
            expected.append(each)
    except Broken:
        broken = True
    ours = [unit for unit in units if not isinstance(unit, int)]
    parsed = [(raw, args) for kind, raw, args in ours if kind == COMMAND and raw.startswith(b"*")]
    lone = dict(expected)
    for raw, args in parsed:
        assert lone.get(raw, args) == args, f"{raw!r} is {lone[raw]}, not {args}"
        _as_hiredis(raw, args)
    whole = b"".join(raw for raw, _ in expected)
    if broken and authenticated:
        assert error, "Redis would close the connection"
    elif whole == case.stream and not error:
        assert count == len(expected), f"{len(expected)} commands, not {count}"


def _as_hiredis(raw: bytes, args: list[bytes]) -> None:
    """Check that hiredis reads a properly encoded command as just these strings."""
    if encode_command(*args) == raw:
        reader = hiredis.Reader()
        reader.feed(raw)
        assert reader.gets() == args
