"""Publish and subscribe in the model of a Redis server: channels, patterns and shard channels."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from tests.simulation.values import NOTHING, Error, Status, encode

if TYPE_CHECKING:
    from tests.simulation.redis import Connection, Server

Names = dict[bytes, dict[bytes, None]]
"""What a connection is subscribed to, by the prefix of the commands."""
_IN_CONTEXT = frozenset(prefix + word for prefix in (b"", b"P", b"S") for word in (b"SUBSCRIBE", b"UNSUBSCRIBE"))


def no_names() -> Names:
    """Subscribed to nothing."""
    return {b"": {}, b"P": {}, b"S": {}}


def may_run(connection: Connection, name: bytes) -> None:
    """A subscriber in RESP2 may do little.

    @raise Error: it may not do this.
    """
    subscribed = connection.version == 2 and any(connection.names.values())
    if subscribed and name not in _IN_CONTEXT and name not in (b"PING", b"QUIT", b"RESET"):
        raise Error(f"ERR Can't execute '{name.decode().lower()}': only (P|S)SUBSCRIBE and so on are allowed")


def subscribe(server: Server, connection: Connection, args: list[bytes]) -> Any:
    """SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE."""
    word = args[0].upper()
    names = connection.names[word.removesuffix(b"SUBSCRIBE")]
    for name in args[1:]:
        names[name] = None
        _send(connection, [word.lower(), name, _count(connection, word)])
    return NOTHING


def unsubscribe(server: Server, connection: Connection, args: list[bytes]) -> Any:
    """UNSUBSCRIBE, PUNSUBSCRIBE, SUNSUBSCRIBE."""
    word = args[0].upper()
    names = connection.names[word.removesuffix(b"UNSUBSCRIBE")]
    given: list[bytes | None] = [*(args[1:] or names)] or [None]
    for name in given:
        if name is not None:
            names.pop(name, None)
        _send(connection, [word.lower(), name, _count(connection, word)])
    return NOTHING


def _count(connection: Connection, word: bytes) -> int:
    names = connection.names
    sharded = word in (b"SSUBSCRIBE", b"SUNSUBSCRIBE")
    return len(names[b"S"]) if sharded else len(names[b""]) + len(names[b"P"])


def ping(server: Server, connection: Connection, args: list[bytes]) -> Any:
    """PING, which a subscriber in RESP2 gets answered like a message."""
    if connection.version == 2 and any(connection.names.values()):
        return [b"pong", args[1] if len(args) > 1 else b""]
    return args[1] if len(args) > 1 else Status("PONG")


def publish(server: Server, connection: Connection, args: list[bytes]) -> int:
    """PUBLISH and SPUBLISH."""
    sharded = args[0].upper() == b"SPUBLISH"
    count = 0
    for other in server.connections.values():
        if args[1] in other.names[b"S" if sharded else b""]:
            count += 1
            _send(other, [b"smessage" if sharded else b"message", args[1], args[2]])
    for other in () if sharded else server.connections.values():
        for pattern in other.names[b"P"]:
            if fnmatchcase(args[1].decode("latin-1"), pattern.decode("latin-1")):
                count += 1
                _send(other, [b"pmessage", pattern, args[1], args[2]])
    return count


def _send(connection: Connection, parts: list[Any]) -> None:
    head = (b">" if connection.version == 3 else b"*") + b"%d\r\n" % len(parts)
    connection.end.write(head + b"".join(encode(part, connection.version) for part in parts))
