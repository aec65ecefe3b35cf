"""The marker of a copy: a key at the new server that tells how far a copy from the old one has come.

It stands for what a replica's role and history tell after replication. An unfinished copy may be replaced by a later
one; a finished one, behind the fence on the old server, is as good as a promotion. Clients do not see it: it goes
before they come.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from redisproxy.servers.control_connection import ServerSaidNo

if TYPE_CHECKING:
    from redisproxy.config import Address

MARKER = "__redisproxy:copy"


class Asks(Protocol):
    """A connection to the new server, in database 0."""

    async def ask(self, *command: bytes | str | int) -> Any: ...


class Marked(Enum):
    """What the marker says."""

    NOT = ""
    COPYING = "copying"
    COPIED = "copied"


async def mark(new: Asks, state: Marked, old: Address, lasts_ms: int = 0) -> None:
    """Say how far a copy from `old` is.

    @param lasts_ms: the marker goes by itself after so many ms; 0: it stays.
    @raise UplinkError: the new server did not take it.
    """
    await new.ask("SET", MARKER, f"{state.value} {old}", *(("PX", lasts_ms) if lasts_ms else ()))


async def marked(new: Asks, old: Address) -> Marked:
    """How far a copy from `old` is.

    @raise UplinkError: the new server does not answer.
    """
    try:
        found = await new.ask("GET", MARKER)
    except ServerSaidNo:
        return Marked.NOT
    states = {f"{state.value} {old}".encode(): state for state in (Marked.COPYING, Marked.COPIED)}
    return states.get(found, Marked.NOT)


async def unmark(new: Asks) -> None:
    """Remove the marker.

    @raise UplinkError: the new server did not do it.
    """
    await new.ask("DEL", MARKER)
