"""The keys of a server: how many in which database, all of them in batches, and some at random."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from redisproxy.copying.endpoint import PRIVATE, Endpoint
from redisproxy.servers.control_connection import ServerSaidNo
from redisproxy.servers.copy_marker import MARKER
from redisproxy.servers.state import parse_info

BATCH = 500
"""How many keys are taken at once."""
_TIMED = ("subexpiry", "keys_with_volatile_items")
"""What Redis and Valkey call hashes whose fields have times to live."""
_MISSING = -2
"""What PTTL says of a key that is not there."""


@dataclass(frozen=True)
class KeyCount:
    """How many keys a database has, keys that have expired and are not yet removed included.

    @ivar expiring: how many of them have a time to live; all, where the server does not tell.
    @ivar timed: how many are hashes of which fields have one: they go with the last field.
    """

    keys: int = 0
    expiring: int = 0
    timed: int = 0


async def key_counts(server: Endpoint) -> dict[int, KeyCount]:
    """How many keys there are, by database; databases without keys are left out.

    @raise UplinkError: the server did not answer.
    """
    return _counts(await server.ask("INFO", "keyspace"))


async def counts_of_data(server: Endpoint) -> dict[int, KeyCount]:
    """L{key_counts} without the mark of a copy; database 0 is selected.

    @raise UplinkError: the server did not answer.
    """
    replies = await server.ask_all(("SELECT", 0), ("PTTL", MARKER), ("INFO", "keyspace"))
    for reply in replies:
        if isinstance(reply, ServerSaidNo):
            raise reply
    _, lasts_ms, info = replies
    counts = _counts(info)
    if lasts_ms != _MISSING and 0 in counts:
        found = counts[0]
        counts[0] = replace(found, keys=found.keys - 1, expiring=found.expiring - (lasts_ms >= 0))
    return counts


def _counts(reply: bytes) -> dict[int, KeyCount]:
    info = parse_info(reply.decode())
    return {int(name[2:]): _count(value) for name, value in info.items() if name[2:].isdigit() and name[:2] == "db"}


def _count(text: str) -> KeyCount:
    fields = dict(each.split("=", 1) for each in text.split(",") if "=" in each)
    timed = next((fields[name] for name in _TIMED if name in fields), 0)
    keys = int(fields.get("keys", 0))
    return KeyCount(keys, int(fields.get("expires", keys)), int(timed))


async def all_keys(server: Endpoint) -> AsyncIterator[list[bytes]]:
    """All keys of the database that is selected but the proxy's own, in batches; some may come twice.

    @raise UplinkError: the server did not answer.
    """
    cursor = b"0"
    while True:
        cursor, keys = await server.ask("SCAN", cursor, "COUNT", BATCH)
        if keys := _others(keys):
            yield keys
        if cursor == b"0":
            return


async def random_keys(server: Endpoint, count: int) -> list[bytes]:
    """Keys of the database that is selected but the proxy's own, at random, each once: `count` at most.

    @raise UplinkError: the server did not answer.
    """
    replies = await server.ask_all(*[("RANDOMKEY",)] * count)
    for reply in replies:
        if isinstance(reply, ServerSaidNo):
            raise reply
    return _others(list(dict.fromkeys(key for key in replies if key is not None)))


def _others(keys: list[bytes]) -> list[bytes]:
    return [key for key in keys if not key.startswith(PRIVATE)]
