"""Finds which keys a command changes without CLIENT TRACKING telling of it, or keyspace notifications, which some
copies learn of changes from. Pure; on a command's path only while the data plane notes them for a copy of the keyspace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from redisproxy.commands.silent_changes import POSITIONS, TOLD
from redisproxy.resp.streams import streams_at

Positions = tuple[int, int, int]
"""First key, last key (negative: from the end), step; zeros where nobody says. See the command COMMAND."""

SCRIPTS = frozenset({"EVAL", "EVALSHA", "FCALL"})
FLUSHES = frozenset({"FLUSHALL", "FLUSHDB"})
NOT_NOTIFIED: Mapping[str, Positions] = {
    "GRAPH.DELETE": (1, 1, 1),
    "GRAPH.QUERY": (1, 1, 1),
    "PFCOUNT": (1, -1, 1),
    "VADD": (1, 1, 1),
    "VREM": (1, 1, 1),
    "VSETATTR": (1, 1, 1),
}
"""Commands beside these of which keyspace notifications do not tell, though CLIENT TRACKING does; see L{POSITIONS}."""
_FUNCTION = "FUNCTION"
_NOWHERE: Positions = (0, 0, 0)
_MAX_NAME = 64


@dataclass(frozen=True)
class Change:
    """What one command may have changed without being told.

    @ivar keys: in the database that the command ran in. @ivar perhaps: keys that a script declares: what it has called
        on them nobody knows. @ivar functions: functions were loaded or deleted.
    @ivar everything: any key of any database. @ivar flushed: databases were emptied.
    """

    keys: tuple[bytes, ...] = ()
    perhaps: tuple[bytes, ...] = ()
    functions: bool = False
    everything: bool = False
    flushed: bool = False


FUNCTIONS = Change(functions=True)
EVERYTHING = Change(everything=True)
FLUSHED = Change(flushed=True)


class SilentChanges:
    """What is silent at one server.

    @param unknown: write commands of the server that were never tried; see L{unknown_writes}. They count as silent.
    @ivar names: upper-case names of all commands to look at, without subcommands.
    """

    def __init__(self, unknown: Mapping[str, Positions] | None = None) -> None:
        self._positions = {**NOT_NOTIFIED, **POSITIONS, **(unknown or {})}
        named = {name.partition("|")[0] for name in self._positions} | SCRIPTS | FLUSHES
        self.names = frozenset(name.encode("latin-1") for name in named)

    def of(self, args: list[bytes], whole: bool = True) -> Change | None:
        """What the command in `args` may change silently; None for nothing.

        @param whole: False if these are the first arguments only.
        """
        named = args[0][:_MAX_NAME].upper()  # of bytes: other letters than ASCII's may have none in Latin-1
        if named not in self.names:
            return None
        name = named.decode("latin-1")
        if name in SCRIPTS:
            return _of_script(args, whole)
        if name in FLUSHES:
            return FLUSHED
        if name == "XREADGROUP":
            return _of_streams(args, whole)
        if name not in self._positions and len(args) > 1:
            name = f"{name}|{args[1][:_MAX_NAME].decode('latin-1').upper()}"
        positions = self._positions.get(name)
        if positions is None:
            return None
        return FUNCTIONS if name.startswith(_FUNCTION) else _at(positions, args, whole)


def unknown_writes(reply: object) -> dict[str, Positions]:
    """The write commands, of a server's answer to COMMAND, that were never tried, and where their keys stand."""
    unknown = {}
    left = list(reply) if isinstance(reply, list) else []
    for item in left:
        if not isinstance(item, list) or len(item) < 6 or not isinstance(item[0], bytes):
            continue
        name = item[0].decode("latin-1").upper()
        if _writes(item[2]) and name not in TOLD and name not in POSITIONS:
            unknown[name] = _positions(item)
        left += item[9] if len(item) > 9 and isinstance(item[9], list) else []
    return {name: where for name, where in unknown.items() if not _has_known(name)}


def _writes(flags: object) -> bool:
    return isinstance(flags, list) and b"write" in flags


def _has_known(container: str) -> bool:
    """Whether subcommands of it were tried: Redis 6.2 lists XGROUP as one command."""
    return any(name.startswith(f"{container}|") for name in POSITIONS)


def _positions(item: list[object]) -> Positions:
    first, last, step = item[3:6]
    if isinstance(first, int) and isinstance(last, int) and isinstance(step, int) and first > 0 and step > 0:
        return first, last, step
    return _NOWHERE


def _at(positions: Positions, args: list[bytes], whole: bool) -> Change:
    first, last, step = positions
    if not first or (not whole and (last < 0 or last >= len(args))):
        return EVERYTHING
    return Change(keys=tuple(args[first : (last if last >= 0 else len(args) + last) + 1 : step]))


def _of_streams(args: list[bytes], whole: bool) -> Change | None:
    """The keys that an XREADGROUP names."""
    if not whole:
        return EVERYTHING
    at = streams_at(args)
    keys = args[at : at + (len(args) - at) // 2]
    return Change(keys=tuple(keys)) if keys else None


def _of_script(args: list[bytes], whole: bool) -> Change | None:
    try:
        count = int(args[2])
    except (IndexError, ValueError):
        return None if whole else EVERYTHING
    keys = tuple(args[3 : 3 + count])
    if len(keys) < count and not whole:
        return EVERYTHING
    return Change(perhaps=keys) if keys else None
