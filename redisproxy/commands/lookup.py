"""Looks up how a command is treated: in the table, in the configuration, in what the server said of its commands.

The client side asks this once framing has found the name of a special command; plain commands never come here. Names
that are not in the table, unknown and module commands among them, are forwarded.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from redisproxy.commands.changed_keys import SilentChanges
from redisproxy.commands.redis_commands import (
    BLOCK_OPTION,
    EVAL_BY_NAME,
    PUBLISHES,
    PUBSUB,
    SUBCOMMANDS,
    SUBSCRIBES,
    TABLE,
    UNNAMED,
)
from redisproxy.commands.treatment import (
    BLOCKING,
    FORWARD,
    PUBLISH,
    SUBSCRIBE,
    Rule,
    Treatment,
    not_permitted,
    stateful,
)

_PLAIN_PUBSUB = frozenset({"PUBLISH", "SPUBLISH", "PUBSUB"})
_SECRET_PARAMETERS = (
    "requirepass",
    "masterauth",
    "masteruser",
    "tls-key-file-pass",
    "tls-client-key-file-pass",
)

SPECIAL = frozenset(name.encode() for name in (*TABLE, *SUBCOMMANDS, *BLOCK_OPTION))
"""Upper-case names at which a run of plain commands ends."""
_WORDS_OF_OPTION = {"COUNT": 2, "GROUP": 3}
"""Of XREAD and XREADGROUP: with the values that follow, which may be words like any."""
_BY_NAME = frozenset(name.encode() for name in EVAL_BY_NAME)


def in_table(name: bytes) -> bool:
    """Whether the table has the command, so that the server need not be asked about it."""
    word = _word(name)
    return word in TABLE or word in SUBCOMMANDS or word in BLOCK_OPTION or word in _PLAIN_PUBSUB


def learn(reply: object) -> dict[str, Treatment]:
    """The treatments of commands that the table lacks, from a server's answer to COMMAND.

    https://redis.io/docs/latest/commands/command/ gives the shape: an array of arrays, C{[name, arity, [flags], ...]}.
    Anything else in the answer is ignored.
    """
    learned = {}
    for item in reply if isinstance(reply, list) else ():
        if not isinstance(item, list) or len(item) < 3 or not isinstance(item[0], bytes):
            continue
        if in_table(item[0]):
            continue
        name = item[0].decode("latin-1").upper()
        flags = item[2] if isinstance(item[2], list) else []
        if b"pubsub" in flags:
            learned[name] = stateful(name.lower(), PUBSUB, Rule.APART)
        elif b"blocking" in flags:
            learned[name] = BLOCKING
    return learned


class CommandTable:
    """The table with the exceptions that one configuration makes.

    @param allowed: upper-case C{NAME} or C{NAME|SUBCOMMAND}, forwarded although the table refuses them.
    @param learned: further commands of the server in use; see L{learn}.
    @param pubsub: whether clients may subscribe.
    @param silent: what changes keys silently at the server in use. @param noting: whether that is looked at now.
    @ivar special: upper-case names at which a run of plain commands ends.
    @ivar special_if_dedicated: the same for a client with a dedicated connection, where any script may run.
    """

    def __init__(
        self,
        allowed: frozenset[str] = frozenset(),
        learned: Mapping[str, Treatment] | None = None,
        pubsub: bool = False,
        silent: SilentChanges | None = None,
        noting: bool = False,
    ) -> None:
        self.silent = silent or SilentChanges()
        self._allowed = allowed
        self._pubsub = pubsub
        self._learned = learned or {}
        more = [*self._learned, *(PUBLISHES if pubsub else ())]
        self.special = SPECIAL.union(name.encode("latin-1") for name in more) if more else SPECIAL
        if noting:
            self.special |= self.silent.names
        self.special_if_dedicated = self.special if noting else self.special - _BY_NAME

    def treatment(self, args: list[bytes]) -> Treatment:
        """How the command in `args` is treated; C{args[0]} is its name, in upper or lower case."""
        name = _word(args[0])
        if self._pubsub and name in SUBSCRIBES:
            return SUBSCRIBE
        if self._pubsub and name in PUBLISHES:
            return PUBLISH
        found = self._find(name, args)
        if found.allowed is not None and self._lifted(name, args):
            return Treatment(found.allowed, found.error)
        return found

    def _find(self, name: str, args: list[bytes]) -> Treatment:
        if name in BLOCK_OPTION:
            return BLOCKING if block_option(args) else FORWARD
        subcommands = SUBCOMMANDS.get(name)
        if subcommands is None:
            return TABLE.get(name) or self._learned.get(name, FORWARD)
        if len(args) < 2:
            return subcommands.get("", FORWARD)
        word = _word(args[1])
        if name == "CONFIG" and word == "GET" and asks_for_secret(args[2:]):
            return not_permitted("config|get of a password")
        found = subcommands.get(word) or subcommands["*"]
        return not_permitted(f"{name}|{word}".lower()) if found is UNNAMED else found

    def _lifted(self, name: str, args: list[bytes]) -> bool:
        return name in self._allowed or (len(args) > 1 and f"{name}|{_word(args[1])}" in self._allowed)


def _word(arg: bytes) -> str:
    return arg[:64].decode("latin-1").upper()


def block_option(args: list[bytes]) -> int:
    """Where the XREAD or XREADGROUP in `args` has the option BLOCK, before its STREAMS; 0 if it has none."""
    at = 1
    while at < len(args) and (word := _word(args[at])) != "STREAMS":
        if word == "BLOCK":
            return at
        at += _WORDS_OF_OPTION.get(word, 1)
    return 0


def asks_for_secret(patterns: list[bytes]) -> bool:
    """Whether a CONFIG GET with these glob patterns could answer with a password of the server.

    Redis's own glob differs from Python's only in escapes, so any pattern with a backslash counts as one that could.
    """
    texts = [pattern.decode("latin-1").lower() for pattern in patterns]
    return any(
        "\\" in text or "[^" in text or fnmatchcase(secret, text) for text in texts for secret in _SECRET_PARAMETERS
    )
