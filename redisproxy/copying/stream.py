"""How streams are read in pieces and written: entries, groups, consumers, pending entries, last ids and counters.

Source: https://redis.io/docs/latest/develop/data-types/streams/ and the pages of the commands. A pending entry may have
been deleted from the stream. No command claims such an entry, so it is added for that moment, and deleted again.

Items begin with one of the tags below. They come in the order in which they have to be written: the stream, its groups
and their consumers, then entries with those who have them pending, at last the counters.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from typing import Any

from redisproxy.copying.endpoint import PRIVATE, Command, Endpoint, Features
from redisproxy.copying.items import Item, PieceSize
from redisproxy.copying.looks import time_ms
from redisproxy.copying.replies import checked

STREAM, GROUP, CONSUMER = b"stream", b"group", b"consumer"
ENTRY, DELETED, PENDING, FORGET, COUNTERS, READ = b"entry", b"deleted", b"pending", b"forget", b"counters", b"read"

_UNKNOWN = b"-1"
_BEGIN = PRIVATE + b"begin"
_PAGE = 1000
_AT = {ENTRY: 1, PENDING: 2}
"""Where in an item its id is."""
_TRIES = 5
_LAST_SEQUENCE = (1 << 64) - 1


class StreamKind:
    """Values of the type stream, which are read in pieces, however small they are; the interface is L{kinds.Kind}."""

    async def pieces(self, server: Endpoint, key: bytes) -> AsyncIterator[list[Item]]:
        """As L{kinds.Kind.pieces}."""
        info, groups = checked(await server.ask_all(("XINFO", "STREAM", key), ("XINFO", "GROUPS", key)))
        yield [(STREAM,)]
        fields, named = _fields(info), [_fields(each) for each in groups]
        for group in named:
            yield await _group(server, key, group)
        waiting = [group[b"name"] for group in named if group[b"pending"]]
        size, first, end = PieceSize(), b"0-0", fields[b"last-generated-id"]  # what comes later is not read
        while first:
            entries = await _entries(server, key, first, end, size)
            pages = [await _pending(server, key, name, first, end) for name in waiting]
            # No further than all of these pages reach, so that no more is in memory than one page of each.
            reached = [page[-1][_AT[page[-1][0]]] for page, full in (entries, *pages) if full]
            last = min(reached, key=_id, default=end)
            yield _in_order([item for page, _ in (entries, *pages) for item in page], last)
            first = _after(last) if reached else b""
        yield [_counters(fields), *map(_read, named)]

    def write(self, key: bytes, items: Sequence[Item], features: Features) -> list[Command]:
        """As L{kinds.Kind.write}."""
        commands: list[Command] = []
        for (tag, *rest), each in groupby(items, _kind_of_write):
            commands += _write(tag, rest, list(each), key, features)
        return commands

    def comparable(self, items: Sequence[Item], detail: Features) -> Sequence[Item]:
        """As L{kinds.Kind.comparable}; without the times of delivery, which depend on the servers' clocks."""
        return [_comparable(item, detail) for item in items]


def _fields(reply: list[Any]) -> dict[bytes, Any]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else _UNKNOWN if value is None else b"%d" % value


async def _group(server: Endpoint, key: bytes, group: dict[bytes, Any]) -> list[Item]:
    name = group[b"name"]
    (consumers,) = checked(await server.ask_all(("XINFO", "CONSUMERS", key, name)))
    return [
        (GROUP, name, group[b"last-delivered-id"]),
        *((CONSUMER, name, _fields(each)[b"name"]) for each in consumers),
    ]


async def _entries(server: Endpoint, key: bytes, first: bytes, end: bytes, size: PieceSize) -> tuple[list[Item], bool]:
    """A page of entries between two ids, and whether there may be more."""
    count = size.count
    (entries,) = checked(await server.ask_all(("XRANGE", key, first, end, "COUNT", count)))
    items: list[Item] = [(ENTRY, number, *fields) for number, fields in entries]
    size.took(items)
    return items, len(items) == count


async def _pending(server: Endpoint, key: bytes, group: bytes, first: bytes, end: bytes) -> tuple[list[Item], bool]:
    """A page of what consumers of a group have not acknowledged, between two ids, and whether there may be more.

    When they were delivered is exact to the ms if the server's clock says the same before and after, hence the tries.
    """
    command: Command = ("XPENDING", key, group, first, end, _PAGE)
    for _ in range(_TRIES):
        before, page, after = checked(await server.ask_all(("TIME",), command, ("TIME",)))
        if time_ms(before) == time_ms(after):
            break
    now_ms = time_ms(before)
    items: list[Item] = [
        (PENDING, group, number, consumer, b"%d" % times, b"%d" % (now_ms - idle_ms))
        for number, consumer, idle_ms, times in page
    ]
    return items, len(items) == _PAGE


def _id(text: bytes) -> tuple[int, int]:
    ms, _, sequence = text.partition(b"-")
    return int(ms), int(sequence)


def _after(number: bytes) -> bytes:
    """The id that follows."""
    ms, sequence = _id(number)
    return b"%d-%d" % ((ms + 1, 0) if sequence == _LAST_SEQUENCE else (ms, sequence + 1))


def _in_order(items: list[Item], last: bytes) -> list[Item]:
    """Entries and those deleted that are pending, by their ids; then who has them pending; then what is to be deleted.

    @param last: what is behind this id is left out.
    """
    items = [item for item in items if _id(item[_AT[item[0]]]) <= _id(last)]
    entries = {item[1]: item for item in items if item[0] == ENTRY}
    pending = [item for item in items if item[0] == PENDING]
    gone = sorted({item[2] for item in pending} - entries.keys(), key=_id)
    added = sorted([*entries.values(), *((DELETED, number) for number in gone)], key=lambda item: _id(item[1]))
    return [*added, *pending, *((FORGET, number) for number in gone)]


def _counters(info: dict[bytes, Any]) -> Item:
    """An XSETID may have put the last id before deleted entries; newer servers do not take that."""
    last, deleted = info[b"last-generated-id"], info.get(b"max-deleted-entry-id")
    return (COUNTERS, last, _bytes(info.get(b"entries-added")), _bytes(deleted and min(last, deleted, key=_id)))


def _read(group: dict[bytes, Any]) -> Item:
    return (READ, group[b"name"], group[b"last-delivered-id"], _bytes(group.get(b"entries-read")))


def _kind_of_write(item: Item) -> Item:
    """Items of the same kind of write go in one command: entries of one consumer, delivered at once."""
    return (PENDING, item[1], *item[3:]) if item[0] == PENDING else item[:1] if item[0] == FORGET else item


def _write(tag: bytes, rest: list[bytes], items: list[Item], key: bytes, features: Features) -> list[Command]:
    if tag == STREAM:  # there is no other way to an empty stream without groups
        return [("XGROUP", "CREATE", key, _BEGIN, 0, "MKSTREAM"), ("XGROUP", "DESTROY", key, _BEGIN)]
    if tag == GROUP:
        return [("XGROUP", "CREATE", key, *rest)]
    if tag == CONSUMER:
        return [("XGROUP", "CREATECONSUMER", key, *rest)]
    if tag == ENTRY:
        return [("XADD", key, *rest)]
    if tag == DELETED:
        return [("XADD", key, *rest, "deleted", "")]
    if tag == PENDING:
        group, consumer, times, at_ms = rest
        numbers = (item[2] for item in items)
        return [("XCLAIM", key, group, consumer, 0, *numbers, "TIME", at_ms, "RETRYCOUNT", times, "FORCE", "JUSTID")]
    if tag == FORGET:
        return [("XDEL", key, *(item[1] for item in items))]
    if tag == READ:  # only now, because a server takes no more than was added
        name, last, read = rest
        known = features.stream_counts and read != _UNKNOWN
        return [("XGROUP", "SETID", key, name, last, "ENTRIESREAD", read)] if known else []
    return [_set_counters(key, rest, features)]


def _set_counters(key: bytes, rest: list[bytes], features: Features) -> Command:
    last, added, deleted = rest
    counted = features.stream_counts and _UNKNOWN not in rest
    return ("XSETID", key, last, *(("ENTRIESADDED", added, "MAXDELETEDID", deleted) if counted else ()))


def _comparable(item: Item, detail: Features) -> Item:
    if item[0] == PENDING:
        return item[:-1]
    if not detail.stream_counts and item[0] in (READ, COUNTERS):
        return item[:2]
    return item
