"""A first look at keys: type, time of expiry, size; many in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from redisproxy.copying.endpoint import Command, Endpoint
from redisproxy.servers.control_connection import ServerSaidNo

COUNTS = {"string": "STRLEN", "list": "LLEN", "set": "SCARD", "zset": "ZCARD", "hash": "HLEN", "stream": "XLEN"}
"""The command that counts the items of a type (the bytes of a string)."""

_ITEM_BYTES = 100
_TRIES = 8


@dataclass(frozen=True)
class Look:
    """What a key is like.

    @ivar kind: its type as TYPE tells it; C{none} if there is no such key.
    @ivar expires_ms: the first and the last Unix time in ms at which it may expire; None: never.
    @ivar size: bytes, roughly.
    """

    kind: str
    expires_ms: tuple[int, int] | None
    size: int


async def looks(server: Endpoint, keys: Sequence[bytes]) -> list[Look]:
    """Look at keys, in their order.

    Servers before 7.0 do not tell when a key expires, but how long it has left: the time is known to the millisecond
    if their clock says the same before and after, so they are asked again until it does, a bounded number of times.

    @raise UplinkError: the server did not answer.
    """
    if not keys:
        return []
    found = await _ask(server, keys)
    for _ in range(_TRIES):
        vague = [at for at, look in enumerate(found) if look.expires_ms and look.expires_ms[0] != look.expires_ms[1]]
        if not vague:
            break
        times = await _expiry_times(server, [keys[at] for at in vague])
        for at, expires_ms in zip(vague, times, strict=True):
            found[at] = replace(found[at], expires_ms=expires_ms)
    return found if server.features.memory_usage else await _with_counts(server, keys, found)


async def _ask(server: Endpoint, keys: Sequence[bytes]) -> list[Look]:
    expiry = "PEXPIRETIME" if server.features.expiry_times else "PTTL"
    questions: list[Command] = [("TIME",)]
    for key in keys:
        questions += [("TYPE", key), (expiry, key)]
        if server.features.memory_usage:
            questions.append(("MEMORY", "USAGE", key))
    first, *answers, last = _without_errors(await server.ask_all(*questions, ("TIME",)))
    clock = (0, 0) if server.features.expiry_times else (time_ms(first), time_ms(last))
    each = len(answers) // len(keys)
    return [_look(answers[at : at + each], clock) for at in range(0, len(answers), each)]


def _look(answers: Sequence[Any], clock: tuple[int, int]) -> Look:
    kind, expiry, *size = answers
    return Look(kind.decode(), _expires_ms(expiry, clock), size[0] or 0 if size else 0)


def _expires_ms(expiry: int, clock: tuple[int, int]) -> tuple[int, int] | None:
    return None if expiry < 0 else (expiry + clock[0], expiry + clock[1])


async def _expiry_times(server: Endpoint, keys: Sequence[bytes]) -> list[tuple[int, int] | None]:
    questions = [each for key in keys for each in (("TIME",), ("PTTL", key), ("TIME",))]
    answers = _without_errors(await server.ask_all(*questions))
    return [
        _expires_ms(left, (time_ms(before), time_ms(after)))
        for before, left, after in zip(answers[::3], answers[1::3], answers[2::3], strict=True)
    ]


async def _with_counts(server: Endpoint, keys: Sequence[bytes], found: Sequence[Look]) -> list[Look]:
    known = [at for at, look in enumerate(found) if look.kind in COUNTS]
    counts = await server.ask_all(*((COUNTS[found[at].kind], keys[at]) for at in known))
    sized = list(found)
    for at, count in zip(known, counts, strict=True):
        if not isinstance(count, ServerSaidNo):
            sized[at] = replace(found[at], size=count * (1 if found[at].kind == "string" else _ITEM_BYTES))
    return sized


def time_ms(reply: Sequence[bytes]) -> int:
    """The answer to TIME as Unix time in ms."""
    return int(reply[0]) * 1000 + int(reply[1]) // 1000


def _without_errors(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, ServerSaidNo):
            raise reply
    return replies
