"""Times to live of a hash's fields (https://redis.io/docs/latest/commands/hpexpireat/; Redis 7.4, Valkey 9)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from redisproxy.copying.endpoint import Command, Endpoint
from redisproxy.copying.items import Item
from redisproxy.servers.control_connection import ServerSaidNo

KEEP = b""
"""The time of expiry of a field that never expires."""
_GONE = -2


async def with_expiry(server: Endpoint, hashes: Sequence[tuple[bytes, list[Item]]]) -> list[list[Item] | None]:
    """The items of hashes with the times at which their fields expire; a field that is gone by now is left out.

    @return: None for what is no hash any more.
    @raise UplinkError: the server did not answer.
    """
    if not server.features.field_expiry:
        return [items for _, items in hashes]
    questions = [_question(key, items) for key, items in hashes if items]
    replies = iter(await server.ask_all(*questions))
    return [_timed(items, next(replies)) if items else items for _, items in hashes]


def _question(key: bytes, items: Sequence[Item]) -> Command:
    return ("HPEXPIRETIME", key, "FIELDS", len(items), *(item[0] for item in items))


def _timed(items: list[Item], times: list[int] | ServerSaidNo | None) -> list[Item] | None:
    if isinstance(times, ServerSaidNo):
        if "WRONGTYPE" in str(times):
            return None
        raise times
    if not times:
        return []
    return [
        (field, value, KEEP if expires_ms < 0 else b"%d" % expires_ms)
        for (field, value, _), expires_ms in zip(items, times, strict=False)
        if expires_ms != _GONE
    ]


def expiry_commands(key: bytes, items: Sequence[Item]) -> list[Command]:
    """The commands that give fields their times to live."""
    fields: dict[bytes, list[bytes]] = defaultdict(list)
    for field, _, expires_ms in items:
        if expires_ms != KEEP:
            fields[expires_ms].append(field)
    return [("HPEXPIREAT", key, at, "FIELDS", len(each), *each) for at, each in fields.items()]


def with_times_to_live(items: Sequence[Item]) -> int:
    """How many fields have a time to live."""
    return sum(item[2] != KEEP for item in items)
