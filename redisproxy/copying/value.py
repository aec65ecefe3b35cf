"""Copies keys by type: reads their values with the commands of their types, and writes them at another server.

For servers that can't RESTORE what the other DUMPs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from redisproxy.copying.endpoint import Command, Endpoint
from redisproxy.copying.hash_fields import with_times_to_live
from redisproxy.copying.items import Item
from redisproxy.copying.kinds import KINDS
from redisproxy.copying.looks import Look, looks
from redisproxy.copying.reading import batches, is_small, read_pieces, read_small
from redisproxy.copying.replies import KeyChanged, carry_out
from redisproxy.copying.temporary_key import TemporaryKey

_REMOVED_AT_ONCE = 1000


class Outcome(Enum):
    """What came of copying one key.

    C{COPIED}: the target has it as it was read. C{ABSENT}: the source has no such key, and now the target has none.
    C{CHANGED}: it vanished or changed its type while it was read; the target has its value from before.
    C{UNKNOWN_TYPE}: it can't be copied this way (a module's type); the target has its value from before.
    """

    COPIED = "copied"
    ABSENT = "absent"
    CHANGED = "changed"
    UNKNOWN_TYPE = "unknown type"


@dataclass(frozen=True)
class Copied:
    """What came of copying one key.

    @ivar kind: its type, as TYPE tells it; C{none} if it is absent.
    @ivar losses: what of it the target can't hold, in words; C{COPIED} all the same.
    """

    outcome: Outcome
    kind: str
    losses: tuple[str, ...] = ()


async def copy_keys(source: Endpoint, target: Endpoint, keys: Sequence[bytes]) -> list[Copied]:
    """Copy keys from `source` to `target` with their times to live, what is there is replaced; one result for each key.

    Small keys go in pipelines, large ones in pieces under a private name and are renamed, so that readers see a key's
    old value or its new one. At both servers the database is the one that the connection has selected.

    @raise UplinkError: a server did not answer, or the target refused a write; its text says which.
    """
    looked = list(zip(keys, await looks(source, keys), strict=True))
    done: dict[bytes, Copied] = {}
    for batch in batches([each for each in looked if is_small(each[1])]):
        done |= await _copy_small(source, target, batch)
    gone = [key for key, look in looked if look.kind == "none"]
    for at in range(0, len(gone), _REMOVED_AT_ONCE):
        await carry_out(target, [("UNLINK", *gone[at : at + _REMOVED_AT_ONCE])])
    for key, look in looked:
        if key not in done:
            done[key] = await _copy_other(source, target, key, look)
    return [done[key] for key in keys]


async def copy_key(source: Endpoint, target: Endpoint, key: bytes) -> Copied:
    """Copy one key; see L{copy_keys}."""
    return (await copy_keys(source, target, [key]))[0]


async def _copy_small(source: Endpoint, target: Endpoint, batch: Sequence[tuple[bytes, Look]]) -> dict[bytes, Copied]:
    values = await read_small(source, batch)
    commands: list[Command] = []
    done = {}
    for (key, look), items in zip(batch, values, strict=True):
        done[key] = Copied(Outcome.CHANGED, look.kind)
        if items is not None:
            commands += _replace(key, look, items, target)
            done[key] = Copied(Outcome.COPIED, look.kind, _losses(look.kind, _timed_fields(look, items), target))
    if commands:
        await carry_out(target, commands)
    return done


def _replace(key: bytes, look: Look, items: Sequence[Item], target: Endpoint) -> list[Command]:
    """The commands that write a small value; many keys in one transaction would cost less, but hold up others."""
    write = KINDS[look.kind].write(key, items, target.features)
    life: list[Command] = [("PEXPIREAT", key, look.expires_ms[0])] if look.expires_ms else []
    if look.kind == "string" and not life:
        return write
    remove: list[Command] = [] if look.kind == "string" else [("UNLINK", key)]
    return [("MULTI",), *remove, *write, *life, ("EXEC",)]


def _timed_fields(look: Look, items: Sequence[Item]) -> int:
    return with_times_to_live(items) if look.kind == "hash" else 0


def _losses(kind: str, timed_fields: int, target: Endpoint) -> tuple[str, ...]:
    if timed_fields and not target.features.field_expiry:
        return (f"the times to live of {timed_fields} fields",)
    return ()


async def _copy_other(source: Endpoint, target: Endpoint, key: bytes, look: Look) -> Copied:
    if look.kind == "none":
        return Copied(Outcome.ABSENT, look.kind)
    if look.kind not in KINDS:
        return Copied(Outcome.UNKNOWN_TYPE, look.kind)
    temporary = TemporaryKey(target)
    try:
        timed = await _copy_pieces(source, target, temporary, key, look)
        (now,) = await looks(source, [key])
        if now.kind == look.kind:
            await temporary.become(key, now.expires_ms[0] if now.expires_ms else None)
            return Copied(Outcome.COPIED, look.kind, _losses(look.kind, timed, target))
    except KeyChanged:
        pass
    except BaseException:
        await temporary.discard()
        raise
    await temporary.discard()
    return Copied(Outcome.CHANGED, look.kind)


async def _copy_pieces(source: Endpoint, target: Endpoint, temporary: TemporaryKey, key: bytes, look: Look) -> int:
    """Copy a value; the number of its fields with times to live."""
    timed = 0
    async for items in read_pieces(source, key, look.kind):
        await temporary.write(KINDS[look.kind].write(temporary.name, items, target.features))
        timed += _timed_fields(look, items)
    return timed
