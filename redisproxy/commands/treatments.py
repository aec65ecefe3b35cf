"""The table: command name -> how the proxy treats it. Pure data; C{commands} has the look-ups.

Names that are not here, unknown and module commands among them, are forwarded.
"""

from __future__ import annotations

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
    KILL = auto()
    """Ends a script or the server: goes at once, past a closed gate, on a connection made for it."""
    APART = auto()
    """Runs on a pinned connection that is closed afterwards: nobody knows what it has made of it."""
    CLUSTER_STATE = auto()
    """Forwarded for the error of a server without cluster support; refused where it would set a connection's state."""
    MONITOR = auto()
    """Makes the client's connection a stream of what the server runs."""
    WAIT = auto()
    SCRIPT = auto()
    """Forwarded; the script in it is remembered for the next server."""
    EVAL = auto()
    """Like SCRIPT, and runs it: that may take for ever, so its client gets a connection of its own."""
    SCAN = auto()
    """Forwarded, with a cursor that is good only at the server it comes from."""
    PUBLISH = auto()
    """Forwarded, behind the changes of subscriptions that came before it."""
    PUBSUB = auto()
    """Makes a subscriber of the client, where the configuration allows that."""
    REFUSED = auto()
    SECURITY = auto()
    """HTTP sent to the Redis port: the connection is closed, as Redis does."""


@dataclass(frozen=True)
class Treatment:
    """A rule, and for a command that may be refused the text of its error (without the leading C{-}).

    @ivar allowed: the rule of a refused command that C{allow_commands} names; None when it stays refused.
    """

    rule: Rule
    error: str = ""
    allowed: Rule | None = None


FORWARD = Treatment(Rule.FORWARD)
BLOCKING = Treatment(Rule.BLOCKING)
SUBSCRIBE = Treatment(Rule.PUBSUB)
PUBLISH = Treatment(Rule.PUBLISH)
_LOCAL = Treatment(Rule.LOCAL)
_KILL = Treatment(Rule.KILL)
_SCRIPT = Treatment(Rule.SCRIPT)


def not_permitted(name: str, allowed: Rule = Rule.FORWARD) -> Treatment:
    """Refuse what would act on the server itself."""
    error = (
        f"NOPERM redisproxy does not forward '{name}': it would act on the Redis server itself"
        f" (the setting allow_commands lifts this)"
    )
    return Treatment(Rule.REFUSED, error, allowed)


def _unsupported(name: str, why: str) -> str:
    return f"ERR redisproxy does not support '{name}': {why}"


def stateful(name: str, why: str, allowed: Rule | None = None) -> Treatment:
    """Refuse what would make a connection something else."""
    return Treatment(Rule.REFUSED, _unsupported(name, why), allowed)


PUBSUB = 'a subscription binds the client to one Redis server (the setting "pubsub": true allows it)'
SUBSCRIBES = ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE")
PUBLISHES = ("PUBLISH", "SPUBLISH")
_REPLICATION = "the proxy forwards requests and their replies only, not replication streams"
_CLUSTER_STATE = "it sets the state of a cluster connection, which a shared one cannot keep"
_MONITOR = (
    "it turns the connection into a stream; use it on the Redis server itself (the setting allow_commands lifts this)"
)
_DEBUGGER = "it turns the connection into one of the script debugger; use it on the Redis server itself"

EVAL_BY_NAME = ("EVALSHA", "EVALSHA_RO", "FCALL", "FCALL_RO")
"""They run a script and do not bring it along."""

# https://redis.io/docs/latest/commands/ ; the groups are those of the design.
TABLE: dict[str, Treatment] = {
    **dict.fromkeys(("AUTH", "HELLO", "RESET", "QUIT"), _LOCAL),
    **dict.fromkeys(["BLPOP", "BRPOP", "BRPOPLPUSH", "BLMOVE", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP"], BLOCKING),
    "SELECT": Treatment(Rule.SELECT),
    "MULTI": Treatment(Rule.MULTI),
    "EXEC": Treatment(Rule.EXEC),
    "DISCARD": Treatment(Rule.DISCARD),
    "WATCH": Treatment(Rule.WATCH),
    "UNWATCH": Treatment(Rule.UNWATCH),
    "WAIT": Treatment(Rule.WAIT),
    "WAITAOF": Treatment(Rule.WAIT),
    **dict.fromkeys(("EVAL", "EVAL_RO", *EVAL_BY_NAME), Treatment(Rule.EVAL)),
    **dict.fromkeys(["SCAN", "HSCAN", "SSCAN", "ZSCAN"], Treatment(Rule.SCAN)),
    "POST": Treatment(Rule.SECURITY),
    "HOST:": Treatment(Rule.SECURITY),
    **{name: stateful(name.lower(), PUBSUB) for name in SUBSCRIBES},
    "MONITOR": stateful("monitor", _MONITOR, Rule.MONITOR),
    **{name: stateful(name.lower(), _REPLICATION) for name in ("SYNC", "PSYNC", "REPLCONF")},
    **{
        name: Treatment(Rule.CLUSTER_STATE, _unsupported(name.lower(), _CLUSTER_STATE))
        for name in ("ASKING", "READONLY", "READWRITE")
    },
    # It may wait until the replicas have caught up, and SHUTDOWN ABORT must not wait behind it.
    "SHUTDOWN": not_permitted("shutdown", Rule.KILL),
    **{name: not_permitted(name.lower()) for name in ("DEBUG", "REPLICAOF", "SLAVEOF", "FAILOVER", "RESTORE-ASKING")},
}

UNNAMED = not_permitted("it")
"""Stands for every subcommand that is not named, with an error that names it."""

# What a cluster client asks to learn what it speaks to.
_CLUSTER_QUESTIONS = (
    *("COUNT-FAILURE-REPORTS", "COUNTKEYSINSLOT", "GETKEYSINSLOT", "GETSLOTMIGRATIONS", "HELP", "INFO", "KEYSLOT"),
    *("LINKS", "MYID", "MYSHARDID", "NODES", "REPLICAS", "SHARDS", "SLAVES", "SLOT-STATS", "SLOTS"),
)

SUBCOMMANDS: dict[str, dict[str, Treatment]] = {
    "ACL": {
        "WHOAMI": _LOCAL,
        **dict.fromkeys(("CAT", "GENPASS", "DRYRUN", "HELP", "LOG"), FORWARD),
        "*": UNNAMED,
    },
    "CLIENT": {
        "PAUSE": not_permitted("client|pause"),
        "UNPAUSE": not_permitted("client|unpause"),
        "*": _LOCAL,
        "": _LOCAL,
    },
    "CLUSTER": {
        **dict.fromkeys(_CLUSTER_QUESTIONS, FORWARD),
        "SYNCSLOTS": stateful("cluster|syncslots", _REPLICATION),
        "*": UNNAMED,
    },
    "CONFIG": {
        "GET": FORWARD,
        "RESETSTAT": FORWARD,
        "HELP": FORWARD,
        "*": UNNAMED,
    },
    "MODULE": {"LIST": FORWARD, "HELP": FORWARD, "*": UNNAMED},
    "SCRIPT": {
        "KILL": _KILL,
        "LOAD": _SCRIPT,
        "FLUSH": _SCRIPT,
        "DEBUG": stateful("script|debug", _DEBUGGER),
        "*": FORWARD,
    },
    "FUNCTION": {"KILL": _KILL, "*": FORWARD},
}
"""Commands whose treatment depends on the subcommand: C{*} is every one that is not named, and the empty name a command
without any, which is forwarded unless it says otherwise."""

BLOCK_OPTION = frozenset({"XREAD", "XREADGROUP"})
