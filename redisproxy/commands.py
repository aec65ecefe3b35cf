"""One table: command name -> how the proxy treats it. Pure data and look-ups.

On a command's path this is what the session asks once framing has found a command's name. Names that are not here,
unknown and module commands among them, are forwarded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto


class Rule(Enum):
    """How a command is treated."""

    FORWARD = auto()
    LOCAL = auto()
    """Answered by the proxy, never forwarded."""
    SELECT = auto()
    MULTI = auto()
    EXEC = auto()
    DISCARD = auto()
    WATCH = auto()
    UNWATCH = auto()
    BLOCKING = auto()
    """May wait at the server: runs on a pinned connection, and C{read_time_limit_ms} does not apply."""
    ALONE = auto()
    """Runs on a pinned connection, because on a shared one it would wait for what it is to end."""
    WAIT = auto()
    SCRIPT = auto()
    """Forwarded; the script in it is remembered for the next server."""
    SCAN = auto()
    """Forwarded, with a cursor that is good only at the server it comes from."""
    PUBSUB = auto()
    """Makes a subscriber of the client, where the configuration allows that."""
    REFUSED = auto()
    SECURITY = auto()
    """HTTP sent to the Redis port: the connection is closed, as Redis does."""


@dataclass(frozen=True)
class Treatment:
    """A rule, and for a refused command the text of its error (without the leading C{-})."""

    rule: Rule
    error: str = ""


FORWARD = Treatment(Rule.FORWARD)
_LOCAL = Treatment(Rule.LOCAL)
_BLOCKING = Treatment(Rule.BLOCKING)
_SCRIPT = Treatment(Rule.SCRIPT)


def _refused(error: str) -> Treatment:
    return Treatment(Rule.REFUSED, error)


def _not_permitted(name: str) -> Treatment:
    return _refused(
        f"NOPERM redisproxy does not forward '{name}': it would act on the Redis server itself"
        f" (the setting allow_commands lifts this)"
    )


def _stateful(name: str, why: str) -> Treatment:
    return _refused(f"ERR redisproxy does not support '{name}': {why}")


_PUBSUB = 'a subscription binds the client to one Redis server (the setting "pubsub": true allows it)'
_SUBSCRIBES = ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE")
_SUBSCRIBE = Treatment(Rule.PUBSUB)
_REPLICATION = "the proxy forwards requests and their replies only, not replication streams"

# https://redis.io/docs/latest/commands/ ; the groups are those of the design.
_TABLE: dict[str, Treatment] = {
    **dict.fromkeys(("AUTH", "HELLO", "RESET", "QUIT", "CLIENT"), _LOCAL),
    **dict.fromkeys(["BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP"], _BLOCKING),
    "SELECT": Treatment(Rule.SELECT),
    "MULTI": Treatment(Rule.MULTI),
    "EXEC": Treatment(Rule.EXEC),
    "DISCARD": Treatment(Rule.DISCARD),
    "WATCH": Treatment(Rule.WATCH),
    "UNWATCH": Treatment(Rule.UNWATCH),
    "WAIT": Treatment(Rule.WAIT),
    "WAITAOF": Treatment(Rule.WAIT),
    "EVAL": _SCRIPT,
    "EVAL_RO": _SCRIPT,
    **dict.fromkeys(["SCAN", "HSCAN", "SSCAN", "ZSCAN"], Treatment(Rule.SCAN)),
    "POST": Treatment(Rule.SECURITY),
    "HOST:": Treatment(Rule.SECURITY),
    **{name: _stateful(name.lower(), _PUBSUB) for name in _SUBSCRIBES},
    "MONITOR": _stateful("monitor", "it turns the connection into a stream; use it on the Redis server itself"),
    **{name: _stateful(name.lower(), _REPLICATION) for name in ("SYNC", "PSYNC", "REPLCONF")},
    **{
        name: _stateful(name.lower(), "it sets the state of a cluster connection, which a shared one cannot keep")
        for name in ("ASKING", "READONLY", "READWRITE")
    },
    **{
        name: _not_permitted(name.lower())
        for name in (
            ["SHUTDOWN", "DEBUG", "REPLICAOF", "SLAVEOF", "FAILOVER", "CLUSTER", "MODULE", "PFDEBUG", "RESTORE-ASKING"]
        )
    },
}

# Commands whose treatment depends on the subcommand. "*" is every subcommand that is not named.
_SUBCOMMANDS: dict[str, dict[str, Treatment]] = {
    "ACL": {
        "WHOAMI": _LOCAL,
        **dict.fromkeys(("CAT", "GENPASS", "DRYRUN", "HELP", "LOG"), FORWARD),
        "*": _not_permitted("acl"),
    },
    "CONFIG": {
        "GET": FORWARD,
        "RESETSTAT": FORWARD,
        "HELP": FORWARD,
        "*": _not_permitted("config"),
    },
    "SCRIPT": {
        "KILL": Treatment(Rule.ALONE),
        "LOAD": _SCRIPT,
        "FLUSH": _SCRIPT,
        "DEBUG": _stateful("script|debug", "it makes the connection a debugger's; use it on the Redis server itself"),
        "*": FORWARD,
    },
    "FUNCTION": {"KILL": Treatment(Rule.ALONE), "*": FORWARD},
}

_PLAIN_PUBSUB = frozenset({"PUBLISH", "SPUBLISH", "PUBSUB"})
_BLOCK_OPTION = frozenset({"XREAD", "XREADGROUP"})
_SECRET_PARAMETERS = (
    "requirepass",
    "masterauth",
    "masteruser",
    "tls-key-file-pass",
    "tls-client-key-file-pass",
)

SPECIAL = frozenset(name.encode() for name in (*_TABLE, *_SUBCOMMANDS, *_BLOCK_OPTION))
"""Upper-case names at which a run of plain commands ends."""


def in_table(name: bytes) -> bool:
    """Say whether the table knows the command, so that nothing has to be learned of it."""
    word = _word(name)
    return word in _TABLE or word in _SUBCOMMANDS or word in _BLOCK_OPTION or word in _PLAIN_PUBSUB


def learn(reply: object) -> dict[str, Treatment]:
    """Classify what a server's answer to COMMAND tells of commands that the table does not know.

    https://redis.io/docs/latest/commands/command/ gives the shape: an array of arrays, C{[name, arity, [flags], ...]}.
    Anything else in the answer is passed over.
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
            learned[name] = _stateful(name.lower(), _PUBSUB)
        elif b"blocking" in flags:
            learned[name] = _BLOCKING
    return learned


class CommandTable:
    """The table with one configuration's exceptions.

    @param allowed: upper-case C{NAME} or C{NAME|SUBCOMMAND}, forwarded although the table refuses them.
    @param learned: further commands of the current server; see L{learn}.
    @param pubsub: whether clients may subscribe.
    @ivar special: upper-case names at which a run of plain commands ends.
    """

    def __init__(
        self,
        allowed: frozenset[str] = frozenset(),
        learned: Mapping[str, Treatment] | None = None,
        pubsub: bool = False,
    ) -> None:
        self._allowed = allowed
        self._pubsub = pubsub
        self._learned = learned or {}
        self.special = SPECIAL.union(name.encode("latin-1") for name in self._learned) if self._learned else SPECIAL

    def treatment(self, args: list[bytes]) -> Treatment:
        """Say how the command in `args` is treated; C{args[0]} is its name in any case."""
        name = _word(args[0])
        if self._pubsub and name in _SUBSCRIBES:
            return _SUBSCRIBE
        found = self._find(name, args)
        if found.rule is Rule.REFUSED and self._lifted(name, args):
            return FORWARD
        return found

    def _find(self, name: str, args: list[bytes]) -> Treatment:
        if name in _BLOCK_OPTION:
            return _BLOCKING if has_block_option(args) else FORWARD
        if name == "CLIENT" and len(args) > 1 and _word(args[1]) in ("PAUSE", "UNPAUSE"):
            return _not_permitted("client|" + _word(args[1]).lower())
        subcommands = _SUBCOMMANDS.get(name)
        if subcommands is None:
            return _TABLE.get(name) or self._learned.get(name, FORWARD)
        if len(args) < 2:
            return FORWARD
        found = subcommands.get(_word(args[1]), subcommands["*"])
        if name == "CONFIG" and _word(args[1]) == "GET" and asks_for_secret(args[2:]):
            return _not_permitted("config|get of a password")
        return found

    def _lifted(self, name: str, args: list[bytes]) -> bool:
        return name in self._allowed or (len(args) > 1 and f"{name}|{_word(args[1])}" in self._allowed)


def _word(arg: bytes) -> str:
    return arg[:64].decode("latin-1").upper()


def has_block_option(args: list[bytes]) -> bool:
    """Say whether an XREAD or XREADGROUP in `args` has the option BLOCK before its STREAMS."""
    skip = False
    for position, arg in enumerate(args[1:], 1):
        word = _word(arg)
        if skip:
            skip = False
        elif word == "STREAMS":
            return False
        elif word == "BLOCK":
            return True
        elif word == "COUNT":
            skip = True
        elif word == "GROUP" and position == 1:
            return _has_block_after_group(args)
    return False


def _has_block_after_group(args: list[bytes]) -> bool:
    return has_block_option([args[0], *args[4:]])


def asks_for_secret(patterns: list[bytes]) -> bool:
    """Say whether a CONFIG GET with these glob patterns could answer with a password of the uplink.

    Redis's own glob differs from Python's only in escapes, so any pattern with a backslash counts as one that could.
    """
    from fnmatch import fnmatchcase

    texts = [pattern.decode("latin-1").lower() for pattern in patterns]
    return any(
        "\\" in text or "[^" in text or fnmatchcase(secret, text) for text in texts for secret in _SECRET_PARAMETERS
    )
