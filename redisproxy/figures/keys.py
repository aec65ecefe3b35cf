"""Which argument of a command is its first key. What is not known to be one is never shown: it may be a value."""

from __future__ import annotations

from collections.abc import Sequence

from redisproxy.figures.families import FAMILIES, FAMILY_OF
from redisproxy.resp.streams import streams_at

_FIRST = frozenset({"string", "hash", "list", "set", "sorted_set", "stream", "generic"})
"""Of the commands in these families the first argument is a key, but for those below."""
_NONE = frozenset({b"KEYS", b"SCAN", b"RANDOMKEY", b"WAIT", b"WAITAOF", b"PFSELFTEST"})
_SECOND = frozenset(
    b"BITOP OBJECT XGROUP XINFO ZUNION ZINTER ZDIFF ZINTERCARD SINTERCARD LMPOP ZMPOP MSETEX PFDEBUG".split()
)
_THIRD = frozenset(b"BLMPOP BZMPOP MIGRATE".split())
_SCRIPTS = frozenset(b"EVAL EVAL_RO EVALSHA EVALSHA_RO FCALL FCALL_RO".split())


def key_of(args: Sequence[bytes]) -> bytes:
    """The first key of a command, of which C{args} may be the beginning; empty when it has none."""
    name = args[0].upper() if args else b""
    at = _place(name, args)
    return args[at] if 0 < at < len(args) else b""


def _place(name: bytes, args: Sequence[bytes]) -> int:
    """Where the key is; 0 when there is none."""
    if name in _SCRIPTS:
        return 3 if len(args) > 2 and args[2].strip(b"0") else 0
    if name in (b"XREAD", b"XREADGROUP"):
        return streams_at(args)
    if name in _NONE or FAMILIES[FAMILY_OF.get(name, 0)] not in _FIRST:
        return 0
    return 2 if name in _SECOND else 3 if name in _THIRD else 1
