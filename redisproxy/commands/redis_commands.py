"""The table: which Redis command is treated how. Pure data; L{redisproxy.commands.lookup} reads it.

Commands that are not here, unknown ones and those of modules among them, are forwarded.
"""

from __future__ import annotations

from redisproxy.commands.treatment import BLOCKING, FORWARD, Rule, Treatment, not_permitted, stateful, unsupported

_LOCAL = Treatment(Rule.LOCAL)
_KILL = Treatment(Rule.KILL)
_SCRIPT = Treatment(Rule.SCRIPT)

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
"""Commands that run a script by its name or hash."""

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
        name: Treatment(Rule.CLUSTER_STATE, unsupported(name.lower(), _CLUSTER_STATE))
        for name in ("ASKING", "READONLY", "READWRITE")
    },
    # It may wait until the replicas have caught up, and SHUTDOWN ABORT must not wait behind it.
    "SHUTDOWN": not_permitted("shutdown", Rule.KILL),
    **{name: not_permitted(name.lower()) for name in ("DEBUG", "REPLICAOF", "SLAVEOF", "FAILOVER", "RESTORE-ASKING")},
}

UNNAMED = not_permitted("it")
"""Stands for every subcommand that the table does not name; the error names the one that was sent."""

# What a cluster client sends to find out whether the server is part of a cluster.
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
