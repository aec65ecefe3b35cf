"""Values of every type, in each of the forms in which servers keep them: what a trial of two servers writes."""

from __future__ import annotations

from collections.abc import Iterator

from redisproxy.copying.endpoint import Command, Features

FIELD_TTLS = "hash with field TTLs"
"""What a hash is called here whose fields have times to live: servers keep it in another form."""
VECTOR_SET = "vectorset"
"""A type of Redis 8."""

_LONG = "x" * 100
_IN_A_DAY_MS = 86_400_000


def samples(prefix: bytes, features: Features) -> Iterator[tuple[str, bytes, list[Command]]]:
    """Kind, key and commands of each value, for a server that can do `features`."""
    makers = {**_SIMPLE, **(_TIMED if features.field_expiry else {})}
    for kind, values in makers.items():
        for at, value in enumerate(values):
            key = b"%b%b:%d" % (prefix, kind.replace(" ", "-").encode(), at)
            yield kind, key, [tuple(key if part is _KEY else part for part in command) for command in value]


_KEY = b"the key"
_SIMPLE: dict[str, list[list[Command]]] = {
    "string": [
        [("SET", _KEY, "text")],
        [("SET", _KEY, 12)],
        [("SET", _KEY, _LONG * 100)],
        [("PFADD", _KEY, "a", "b")],
    ],
    "list": [
        [("RPUSH", _KEY, "a", 1)],
        [("RPUSH", _KEY, *[_LONG * 50] * 4)],
        [("RPUSH", _KEY, _LONG * 100, "a")],
    ],
    "set": [[("SADD", _KEY, 1, 2)], [("SADD", _KEY, "a", "b")], [("SADD", _KEY, _LONG, *range(200))]],
    "zset": [[("ZADD", _KEY, "1.5", "a", "inf", "b")], [("ZADD", _KEY, 1, _LONG)]],
    "hash": [[("HSET", _KEY, "a", 1)], [("HSET", _KEY, "a", _LONG)]],
    "stream": [
        [("XGROUP", "CREATE", _KEY, "group", "$", "MKSTREAM")],
        [
            ("XADD", _KEY, "1-1", "a", "b"),
            ("XADD", _KEY, "1-2", "c", _LONG),
            ("XGROUP", "CREATE", _KEY, "group", 0),
            ("XREADGROUP", "GROUP", "group", "consumer", "STREAMS", _KEY, ">"),
            ("XDEL", _KEY, "1-1"),
        ],
    ],
    VECTOR_SET: [[("VADD", _KEY, "VALUES", 2, 1, 2, "a")]],
}
_TIMED: dict[str, list[list[Command]]] = {
    FIELD_TTLS: [
        [("HSET", _KEY, "a", value, "b", "c"), ("HPEXPIRE", _KEY, _IN_A_DAY_MS, "FIELDS", 1, "a")]
        for value in ("1", _LONG)
    ]
}
