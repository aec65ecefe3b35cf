"""Commands that have subcommands, and how a command is called in CLIENT LIST. Pure data and a look-up.

The client side asks it for commands that framing has stopped at; a plain command is never looked at.
"""

from __future__ import annotations

from redisproxy.client.names import valid_name

MAX_NAME = 32

# What COMMAND tells of Redis 7.0 and 8.2 and Valkey 9.
_CONTAINERS = {
    b"ACL": b"cat deluser dryrun genpass getuser help list load log save setuser users whoami",
    b"CLIENT": (
        b"caching capa getname getredir help id import-source info kill list no-evict no-touch pause reply setinfo"
        b" setname tracking trackinginfo unblock unpause"
    ),
    b"CLUSTER": (
        b"addslots addslotsrange bumpepoch cancelslotmigrations count-failure-reports countkeysinslot delslots"
        b" delslotsrange failover flushslot flushslots forget getkeysinslot getslotmigrations help info keyslot links"
        b" meet migrateslots myid myshardid nodes replicas replicate reset saveconfig set-config-epoch setslot shards"
        b" slaves slot-stats slots syncslots"
    ),
    b"COMMAND": b"count docs getkeys getkeysandflags help info list",
    b"COMMANDLOG": b"get help len reset",
    b"CONFIG": b"get help resetstat rewrite set",
    b"FUNCTION": b"delete dump flush help kill list load restore stats",
    b"LATENCY": b"doctor graph help histogram history latest reset",
    b"MEMORY": b"doctor help malloc-stats purge stats usage",
    b"MODULE": b"help list load loadex unload",
    b"OBJECT": b"encoding freq help idletime refcount",
    b"PUBSUB": b"channels help numpat numsub shardchannels shardnumsub",
    b"SCRIPT": b"debug exists flush help kill load show",
    b"SLOWLOG": b"get help len reset",
    b"XGROUP": b"create createconsumer delconsumer destroy help setid",
    b"XINFO": b"consumers groups help stream",
}
_SUBCOMMANDS = {name: frozenset(text.split()) for name, text in _CONTAINERS.items()}


def full_name(args: list[bytes]) -> bytes:
    """The name of the command in `args` as CLIENT LIST shows it, C{client|list}; empty when there is no such command.

    With an unknown subcommand Redis knows no command, and shows none. https://redis.io/docs/latest/commands/client-list/
    """
    name = args[0][:MAX_NAME].lower()
    known = _SUBCOMMANDS.get(name.upper())
    if known is None or len(args) < 2:
        return name if valid_name(name) else b""
    subcommand = args[1][:MAX_NAME].lower()
    return name + b"|" + subcommand if subcommand in known else b""
