"""Says whether two replies to the same command are equal, where their bytes can't be.

Two servers give different times and figures, and have their hash tables in different orders: the seed of the hash is
random. Everything else has to be the same to the byte, errors always.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

from tests.differential.lists import words
from tests.differential.steps import Command
from tests.differential.switches import CLIENT_FIELDS

Tree: TypeAlias = "bytes | tuple[bytes, list[Tree]]"
"""A scalar as its bytes, or the first byte of an aggregate and what is in it."""

_SHAPE_ONLY = words(
    """
    TIME INFO LASTSAVE ROLE LOLWUT RANDOMKEY DUMP SLOWLOG LATENCY MEMORY SRANDMEMBER HRANDFIELD ZRANDMEMBER
    CLIENT|ID ACL|GENPASS ACL|LOG OBJECT|IDLETIME OBJECT|FREQ FUNCTION|DUMP
    FUNCTION|STATS
    """
)
_UNORDERED = words(
    """
    SMEMBERS SINTER SUNION SDIFF SPOP KEYS HGETALL HKEYS HVALS SCAN HSCAN SSCAN ZSCAN SORT SORT_RO COMMAND
    PUBSUB CONFIG|GET ACL|CAT FUNCTION|LIST
    """
)
_SIGN_ONLY = frozenset({"TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"})
_NUMBERS_DIFFER = frozenset({"XINFO", "XPENDING"})
_ID = re.compile(rb"(\$2\r\nid\r\n:)\d+")


def same(command: Command, queued: Sequence[Command], theirs: bytes, ours: bytes) -> bool:
    """Whether the two say the same. @param queued: the commands whose replies are in that of an EXEC."""
    if theirs == ours:
        return True
    if b"-" in (theirs[:1], ours[:1]):
        return False
    if command.name == "EXEC" and theirs[:1] == ours[:1] == b"*":
        return _same_each(queued, tree(theirs)[1], tree(ours)[1])
    return _view(command, tree(theirs)) == _view(command, tree(ours))


def _same_each(queued: Sequence[Command], theirs: object, ours: object) -> bool:
    if not isinstance(theirs, list) or not isinstance(ours, list) or not len(theirs) == len(ours) == len(queued):
        return False
    views = zip(queued, theirs, ours, strict=True)
    return all(their == our or _view_inside(each, their) == _view_inside(each, our) for each, their, our in views)


def _view_inside(command: Command, reply: Tree) -> object:
    """As L{_view}, in EXEC's reply: there the proxy tells of itself as it was before."""
    return _shape(reply) if command.name == "CLIENT" and command.word(1) in ("LIST", "INFO") else _view(command, reply)


def _view(command: Command, reply: Tree) -> object:
    if isinstance(reply, bytes) and reply[:1] == b"-":
        return reply
    names = {command.name, f"{command.name}|{command.word(1)}"}
    if names & {"CLIENT|LIST", "CLIENT|INFO"}:
        return _clients(reply) if command.word(1) == "INFO" or command.word(2) == "ID" else _shape(reply)
    if names & _SHAPE_ONLY:
        return _shape(reply)
    if names & _SIGN_ONLY:
        return reply[:1] + (b"-" if b"-" in reply[:2] else b"+") if isinstance(reply, bytes) else reply
    if names & _UNORDERED:
        return _partial(command) or _sorted(reply)
    if command.name.endswith("UNSUBSCRIBE") and len(command.args) == 1 and isinstance(reply, tuple):
        return reply[1][::2]  # from all, in any order
    if names & _NUMBERS_DIFFER:
        return _without_numbers(reply)
    if command.name == "HELLO":
        return _ID.sub(rb"\g<1>0", flat(reply)).partition(b"modules")[0]  # the proxy tells of no modules
    return reply


def _partial(command: Command) -> str:
    """Non-empty for a SCAN that may return any part of the keys; with a large COUNT it returns all."""
    if not command.name.endswith("SCAN") or any(arg.isdigit() and int(arg) >= 1000 for arg in command.args[2:]):
        return ""
    return "a part"


def _clients(reply: Tree) -> object:
    lines = [dict(field.partition(b"=")[::2] for field in line.split()) for line in flat(reply).splitlines()[1:]]
    for line in lines:
        line[b"multi"] = line.get(b"multi", b"").rstrip(b"0123456789")
    return [[line.get(name.encode()) for name in CLIENT_FIELDS] for line in lines]


def _shape(reply: Tree) -> object:
    return reply[:1] if isinstance(reply, bytes) else reply[0]


def _sorted(reply: Tree) -> object:
    if isinstance(reply, bytes):
        return reply
    return reply[0], sorted((_sorted(each) for each in reply[1]), key=repr)


def _without_numbers(reply: Tree) -> object:
    if isinstance(reply, bytes):
        return b":" if reply[:1] == b":" else reply
    return reply[0], [_without_numbers(each) for each in reply[1]]


def flat(reply: Tree) -> bytes:
    """Flatten a tree to bytes that are good enough to compare."""
    return reply if isinstance(reply, bytes) else reply[0] + b"".join(flat(each) for each in reply[1])


def tree(reply: bytes) -> Tree:
    """Take one complete reply apart."""
    return _tree(reply, 0)[0]


def _tree(data: bytes, at: int) -> tuple[Tree, int]:
    end = data.index(b"\r\n", at) + 2
    kind, text = data[at : at + 1], data[at + 1 : end - 2]
    if kind in b"$=!" and text != b"-1":
        return data[at : end + int(text) + 2], end + int(text) + 2
    if kind in b"*~>%|" and text != b"-1":
        items: list[Tree] = []
        for _ in range(int(text) * (2 if kind in b"%|" else 1)):
            item, end = _tree(data, end)
            items.append(item)
        return (kind, items), end
    return data[at:end], end
