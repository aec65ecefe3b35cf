"""Commands of the model of a Redis server that work on its data, and what they write, here and on replicas."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.simulation.copying import COPY_COMMANDS, COPY_EFFECTS, COPY_WRITES, script
from tests.simulation.values import NULL_ARRAY, OK, Error, Status

if TYPE_CHECKING:
    from tests.simulation.redis import Server

# -- effects: what is written, here and on replicas


def _set(server: Server, db: int, args: list[bytes]) -> None:
    server.dbs[db][args[1]] = args[2]
    server.touched(db, args[1])


def _rpush(server: Server, db: int, args: list[bytes]) -> None:
    server.dbs[db].setdefault(args[1], []).extend(args[2:])
    server.touched(db, args[1])


def _lpop_effect(server: Server, db: int, args: list[bytes]) -> None:
    values = server.dbs[db][args[1]]
    values.pop(0)
    if not values:
        del server.dbs[db][args[1]]
    server.touched(db, args[1])


EFFECTS: dict[bytes, Callable[[Server, int, list[bytes]], None]] = {
    b"SET": _set,
    b"RPUSH": _rpush,
    b"LPOP": _lpop_effect,
    b"NOOP": lambda server, db, args: None,
    **COPY_EFFECTS,
}


# -- commands


def _list(server: Server, db: int, key: bytes) -> list[bytes]:
    value = server.dbs[db].get(key, [])
    if not isinstance(value, list):
        raise Error("WRONGTYPE Operation against a key holding the wrong kind of value")
    return value


def _get(server: Server, db: int, args: list[bytes]) -> Any:
    value = server.dbs[db].get(args[1])
    if isinstance(value, list):
        raise Error("WRONGTYPE Operation against a key holding the wrong kind of value")
    return value


def _set_command(server: Server, db: int, args: list[bytes]) -> Any:
    server.write(db, b"SET", args[1], args[2])
    if len(args) > 3:
        assert args[3] == b"PX"
        server.clock.at(int(args[4]) / 1000, _expire, server, db, args[1], args[2])
    return OK


def _expire(server: Server, db: int, key: bytes, value: bytes) -> None:
    if server.dbs[db].get(key) == value:
        server.write(db, b"DEL", key)
        server._finished(None)


def _incr(server: Server, db: int, args: list[bytes]) -> Any:
    value = int(_get(server, db, args) or 0) + 1
    server.write(db, b"SET", args[1], b"%d" % value)
    return value


def _rpush_command(server: Server, db: int, args: list[bytes]) -> Any:
    length = len(_list(server, db, args[1])) + len(args) - 2
    server.write(db, b"RPUSH", *args[1:])
    return length


def _lpop(server: Server, db: int, args: list[bytes]) -> Any:
    values = _list(server, db, args[1])
    if not values:
        return None
    value = values[0]
    server.write(db, b"LPOP", args[1])
    return value


def _lrange(server: Server, db: int, args: list[bytes]) -> Any:
    return list(_list(server, db, args[1]))


def blpop_in_multi(server: Server, db: int, args: list[bytes]) -> Any:
    for key in args[1:-1]:
        if _list(server, db, key):
            return [key, _lpop(server, db, [b"LPOP", key])]
    return NULL_ARRAY


def echo_script(server: Server, db: int, args: list[bytes]) -> Any:
    if args[1] != b"echo":
        return script(server, db, args)
    return args[3]


def _setrange(server: Server, db: int, args: list[bytes]) -> Any:
    assert args[3] == b""
    return len(server.dbs[db].get(args[1], b""))


COMMANDS: dict[bytes, Callable[[Server, int, list[bytes]], Any]] = {
    b"GET": _get,
    b"SET": _set_command,
    b"INCR": _incr,
    b"RPUSH": _rpush_command,
    b"LPOP": _lpop,
    b"LRANGE": _lrange,
    b"LLEN": lambda server, db, args: len(_list(server, db, args[1])),
    b"BLPOP": blpop_in_multi,
    b"EVAL": echo_script,
    b"SETRANGE": _setrange,
    **COPY_COMMANDS,
    b"ECHO": lambda server, db, args: args[1],
    b"PING": lambda server, db, args: args[1] if len(args) > 1 else Status("PONG"),
    b"PTTL": lambda server, db, args: -1 if args[1] in server.dbs[db] else -2,
    b"MEMORY": lambda server, db, args: 50 if args[2] in server.dbs[db] else None,
    b"COMMAND": lambda server, db, args: [],
    b"INFO": lambda server, db, args: server.info(),
}
WRITES = frozenset({b"SET", b"INCR", b"RPUSH", b"LPOP", b"BLPOP", b"SETRANGE"}) | COPY_WRITES
