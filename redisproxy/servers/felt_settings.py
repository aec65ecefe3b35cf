"""The settings of a Redis server that clients can feel: which, why, and which a switchover can carry over. Pure.

The preflight compares them between two servers. A setting is carried over by CONFIG SET where that changes nothing but
how clients are served; what depends on the machine (memory, disks) is only told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class FeltSetting(NamedTuple):
    """One setting.

    @ivar names: its names, that of the newest servers first; which one a server knows depends on its version.
    @ivar effect: what clients or operators feel when it differs.
    @ivar carried: C{"carry": ["config"]} sets it at the new server.
    @ivar in_info: the field of INFO that tells it to who may not CONFIG GET.
    @ivar canonical: writes a value so that equal values are equal texts.
    """

    names: tuple[str, ...]
    effect: str
    carried: bool = True
    in_info: str = ""
    canonical: Callable[[str], str] = str.strip


def _flags(value: str) -> str:
    """Servers write the flags of C{notify-keyspace-events} in different orders; A stands for most of them."""
    return "".join(sorted(set(value.replace("A", "g$lshztdxe"))))


def _of_clients(value: str) -> str:
    """The limits of classes of clients, without those of replicas, which do not move."""
    words = value.split()
    classes = {words[at]: " ".join(words[at : at + 4]) for at in range(0, len(words), 4)}
    return " ".join(classes[name] for name in ("normal", "pubsub") if name in classes)


def _small(encoding: str) -> str:
    return f"above this size {encoding} take several times the memory, below it commands scan them"


def _freed(by: str) -> str:
    return f"{by} of a large value holds up all clients, or takes its memory later"


FELT_SETTINGS = (
    FeltSetting(("maxmemory",), "keys are evicted, or writes refused (OOM), at another size", False, "maxmemory"),
    FeltSetting(("maxmemory-policy",), "other keys are evicted when memory is full, or writes refused",
                in_info="maxmemory_policy"),
    FeltSetting(("maxmemory-samples",), "evictions choose more or less well"),
    FeltSetting(("maxmemory-eviction-tenacity",), "commands wait longer for evictions, or memory grows further"),
    FeltSetting(("maxmemory-clients",), "clients with large buffers are disconnected at another size"),
    FeltSetting(("notify-keyspace-events",), "subscribers of __keyspace@* and __keyevent@* hear more or less",
                canonical=_flags),
    FeltSetting(("databases",), "SELECT of the databases that are missing is an error", False),
    FeltSetting(("proto-max-bulk-len",), "larger values are refused"),
    FeltSetting(("client-query-buffer-limit",), "clients with larger commands are disconnected"),
    FeltSetting(("client-output-buffer-limit",), "clients that read slowly are disconnected sooner or later",
                canonical=_of_clients),
    FeltSetting(("maxclients",), "more clients are refused", in_info="maxclients"),
    FeltSetting(("timeout",), "idle clients that bypass the proxy are disconnected sooner or later"),
    FeltSetting(("tcp-keepalive",), "dead clients are noticed, and their connections freed, sooner or later"),
    FeltSetting(("busy-reply-threshold", "lua-time-limit"), "others are told BUSY after another time of a script"),
    FeltSetting(("tracking-table-max-keys",), "client-side caches are invalidated more often"),
    FeltSetting(("acl-pubsub-default",), "users that are made later may use all channels or none"),
    FeltSetting(("lfu-log-factor",), "evictions by use (LFU) choose differently"),
    FeltSetting(("lfu-decay-time",), "evictions by use (LFU) choose differently"),
    FeltSetting(("active-expire-effort",), "expired keys take memory for longer, or cost more processor time"),
    FeltSetting(("lazyfree-lazy-user-del",), _freed("DEL")),
    FeltSetting(("lazyfree-lazy-user-flush",), _freed("FLUSHALL and FLUSHDB")),
    FeltSetting(("lazyfree-lazy-server-del",), _freed("SET and RENAME over a key")),
    FeltSetting(("lazyfree-lazy-expire",), _freed("expiry")),
    FeltSetting(("lazyfree-lazy-eviction",), _freed("eviction")),
    FeltSetting(("activedefrag",), "fragmented memory is not given back, or commands take longer meanwhile"),
    FeltSetting(("hash-max-listpack-entries", "hash-max-ziplist-entries"), _small("hashes")),
    FeltSetting(("hash-max-listpack-value", "hash-max-ziplist-value"), _small("hashes")),
    FeltSetting(("list-max-listpack-size", "list-max-ziplist-size"), _small("nodes of lists")),
    FeltSetting(("list-compress-depth",), "the inside of lists is compressed, which costs processor time"),
    FeltSetting(("set-max-intset-entries",), _small("sets of integers")),
    FeltSetting(("set-max-listpack-entries",), _small("sets")),
    FeltSetting(("set-max-listpack-value",), _small("sets")),
    FeltSetting(("zset-max-listpack-entries", "zset-max-ziplist-entries"), _small("sorted sets")),
    FeltSetting(("zset-max-listpack-value", "zset-max-ziplist-value"), _small("sorted sets")),
    FeltSetting(("hll-sparse-max-bytes",), _small("HyperLogLogs")),
    FeltSetting(("stream-node-max-bytes",), _small("nodes of streams")),
    FeltSetting(("stream-node-max-entries",), _small("nodes of streams")),
    FeltSetting(("locale-collate",), "SORT ALPHA orders texts otherwise", False),
    FeltSetting(("extended-redis-compatibility",), "HELLO and INFO name another product and version"),
    FeltSetting(("latency-monitor-threshold",), "LATENCY tells more or less of what was slow"),
    FeltSetting(("slowlog-log-slower-than",), "SLOWLOG has other commands"),
    FeltSetting(("slowlog-max-len",), "SLOWLOG goes back less far"),
    FeltSetting(("appendonly",), "what a crash loses", False, "aof_enabled",
                canonical=lambda value: {"1": "yes", "0": "no"}.get(value, value)),
    FeltSetting(("appendfsync",), "what a crash loses, and how long writes wait for the disk", False),
    FeltSetting(("no-appendfsync-on-rewrite",), "what a crash loses, or for how long writes wait, at an AOF rewrite",
                False),
    FeltSetting(("save",), "what a crash loses, and how often the server forks", False),
    FeltSetting(("stop-writes-on-bgsave-error",), "writes are refused when the disk is full", False),
)  # fmt: skip
"""In the order in which they are shown."""
