"""Changes made commands so that two servers stay comparable, and makes large commands.

Nothing expires while a conversation lasts, ids of stream entries are given, nothing is taken out of a set at random,
and no reply is larger than a test can hold.
"""

from __future__ import annotations

import random
import re

from tests.differential import values
from tests.differential.lists import BLOCKING, words

SHORT = b"0.001"
_EXPIRES = words("EXPIRE PEXPIRE SETEX PSETEX SET GETEX RESTORE")
_OFFSETS = words("SETRANGE SETBIT BITFIELD GETBIT BITFIELD_RO")
_RANDOM = words("SRANDMEMBER HRANDFIELD ZRANDMEMBER")
_SPREADS = words("RENAME RENAMENX COPY RESTORE SORT SORT_RO MIGRATE")
_INTEGER = re.compile(rb"#?[+-]?[0-9]+\Z")
_TEXT_SET = re.compile(rb"S[12]text\Z")


def tamed(args: list[bytes]) -> list[bytes]:
    """Change a made command; return what is sent in its place."""
    name = args[0].decode("latin-1").upper()
    if name in _EXPIRES:
        args = [args[0], *(_far(arg) for arg in args[1:])]
    elif name in _OFFSETS:
        args = [args[0], *(_near(arg, 1000) for arg in args[1:])]
    elif name.endswith("SCAN"):
        args = [args[0], *(_near(arg, 10**9) for arg in args[1:])]  # the proxy refuses cursors that no server gives
    elif name in _RANDOM:
        args = [args[0], *(_near(arg, 5) for arg in args[1:])]
    elif name in _SPREADS:
        args = [_TEXT_SET.sub(b"S1", arg) for arg in args]
    return _one_by_one(name, args)


def _one_by_one(name: str, args: list[bytes]) -> list[bytes]:
    if name == "XADD":
        return [args[0], *(_told_id(arg) for arg in args[1:])]
    if name in ("XCLAIM", "XAUTOCLAIM", "XPENDING"):
        return [args[0], *(_all_or_none(arg) for arg in args[1:])]
    if name == "SADD" and not _TEXT_SET.search(b" ".join(args[1:2])):
        return [*args[:2], *(_digits(arg) for arg in args[2:])]
    if name == "SPOP" and len(args) in (2, 3):
        return [*args[:2], b"1000"]
    if name == "MIGRATE" and len(args) > 2:
        return [args[0], b"127.0.0.1", b"1", *args[3:]]
    if name == "SORT" and b"BY" in [arg.upper() for arg in args]:
        return [arg for arg in args if arg.upper() not in (b"STORE", b"LIMIT")]
    return _short(name, args) if name in BLOCKING else args


def _told_id(arg: bytes) -> bytes:
    return b"7-8" if arg == b"*" else arg


def _number(arg: bytes) -> int | None:
    return int(arg.lstrip(b"#")) if _INTEGER.match(arg) else None


def _far(arg: bytes) -> bytes:
    """Make a time that is far away, in seconds or milliseconds, from now or since 1970."""
    number = _number(arg.strip())
    return b"%d" % (number + 10**13) if number is not None and 0 < number < 10**13 else arg


def _near(arg: bytes, most: int) -> bytes:
    number = _number(arg.strip())
    return arg if number is None or abs(number) <= most else b"%d" % (most if number > 0 else -most)


def _all_or_none(arg: bytes) -> bytes:
    number = _number(arg.strip())
    return b"0" if number is not None and 10 < number < 10**9 else arg


def _digits(arg: bytes) -> bytes:
    return arg if _INTEGER.match(arg) and arg[:1] not in b"+#0" and len(arg) < 18 else b"%d" % (sum(arg) % 100)


def _short(name: str, args: list[bytes]) -> list[bytes]:
    """Make a blocking command wait for a moment only."""
    if name in ("XREAD", "XREADGROUP"):
        at = next((at + 1 for at, arg in enumerate(args) if arg.upper() == b"BLOCK"), len(args))
    else:
        at = {"BLMPOP": 1, "BZMPOP": 1, "WAIT": 2}.get(name, len(args) - 1)
    whole = name in ("XREAD", "XREADGROUP", "WAIT")
    if 0 < at < len(args) and _endless(args[at], 1 if whole else 0.001):
        return [*args[:at], b"1" if whole else SHORT, *args[at + 1 :]]
    return args


def _endless(arg: bytes, most: float) -> bool:
    try:
        return not 0 < float(arg) <= most
    except ValueError:
        return arg[:2].lower() == b"0x"


def large(chance: random.Random, prefix: bytes = b"") -> list[bytes]:
    """Make a command that is larger than what the proxy holds."""
    big = chance.choice([b"y", b"\r\n", b"$5\r\nhello\r\n"]) * chance.choice([9000, 40000])
    key = values.key(chance, "string", prefix)
    options = [
        [b"SET", key, big],
        [b"GET", big],
        [b"APPEND", key, big[:40000]],
        [b"ECHO", big],
        [b"LPUSH", values.key(chance, "list", prefix), b"a", big, b"b"],
        [b"HSET", values.key(chance, "hash", prefix), b"f1", big],
        [b"FOO", big],
        [b"GET", b"a", big],
        [b"MSET", key, big, values.key(chance, "string", prefix), big],
        [b"EVAL", b"return #ARGV[1]", b"0", big],
        [b"PING", big],
        [b"DEL", *([key] * 9000)],
        [b"XADD", values.key(chance, "stream", prefix), b"300-1", b"f", big],
        [b"OBJECT", b"ENCODING", big],
    ]
    return chance.choice(options)
