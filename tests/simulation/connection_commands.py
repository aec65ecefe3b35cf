"""Commands of the model of a Redis server that work on the connection or the server itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha1
from typing import TYPE_CHECKING, Any

from tests.simulation import pubsub
from tests.simulation.data_commands import COMMANDS, blpop_in_multi, echo_script
from tests.simulation.values import NOTHING, NULL_ARRAY, OK, Error, Key, encode

if TYPE_CHECKING:
    from tests.simulation.redis import Connection, Server

DATABASES = 16
GETACK_BYTES = 37
ENDLESS = b"while true do end"


@dataclass(eq=False)
class Blocked:
    """One that waits in BLPOP."""

    connection: Connection
    keys: list[Key]


def _hello(server: Server, connection: Connection, args: list[bytes]) -> Any:
    if len(args) > 3 and args[2].upper() == b"AUTH":
        _check_password(server, connection, args[4])
    if not connection.authenticated:
        raise Error("NOAUTH HELLO must be called with the client already authenticated")
    if len(args) > 1:
        connection.version = int(args[1])
    fields = {b"server": b"redis", b"version": b"7.0.15", b"proto": connection.version, b"id": connection.id}
    return fields | {b"role": b"master" if server.repl.primary is None else b"replica"}


def _check_password(server: Server, connection: Connection, password: bytes) -> None:
    if password.decode() != server.password:
        raise Error("WRONGPASS invalid username-password pair or user is disabled.")
    connection.authenticated = True


def _auth(server: Server, connection: Connection, args: list[bytes]) -> Any:
    _check_password(server, connection, args[-1])
    return OK


def _select(server: Server, connection: Connection, args: list[bytes]) -> Any:
    if not 0 <= int(args[1]) < DATABASES:
        raise Error("ERR DB index is out of range")
    connection.db = int(args[1])
    return OK


def _multi(server: Server, connection: Connection, args: list[bytes]) -> Any:
    if connection.queue is not None:
        raise Error("ERR MULTI calls can not be nested")
    connection.queue = []
    return OK


def _leave_multi(connection: Connection) -> tuple[list[list[bytes]], bool, bool]:
    state = connection.queue or [], connection.dirty, connection.queue_error
    connection.queue = None
    connection.dirty = connection.queue_error = False
    connection.watched = []
    return state


def _exec(server: Server, connection: Connection, args: list[bytes]) -> Any:
    if connection.queue is None:
        raise Error("ERR EXEC without MULTI")
    commands, dirty, broken = _leave_multi(connection)
    if broken:
        raise Error("EXECABORT Transaction discarded because of previous errors.")
    if dirty:
        return NULL_ARRAY
    try:
        server._may_write(connection, commands)
    except Error as error:
        raise Error(f"EXECABORT Transaction discarded because of: {error}") from None
    replies = []
    for each in commands:
        if each[0].upper() == b"SELECT":
            replies.append(_select(server, connection, each))
            continue
        try:
            replies.append(COMMANDS[each[0].upper()](server, connection.db, each))
        except Error as error:
            replies.append(error)
    return server._finished(replies)


def _discard(server: Server, connection: Connection, args: list[bytes]) -> Any:
    if connection.queue is None:
        raise Error("ERR DISCARD without MULTI")
    _leave_multi(connection)
    return OK


def _watch(server: Server, connection: Connection, args: list[bytes]) -> Any:
    connection.watched += [(connection.db, key) for key in args[1:]]
    return OK


def _unwatch(server: Server, connection: Connection, args: list[bytes]) -> Any:
    connection.watched, connection.dirty = [], False
    return OK


def _blpop(server: Server, connection: Connection, args: list[bytes]) -> Any:
    server._may_write(connection, [args])
    reply = blpop_in_multi(server, connection.db, args)
    if reply is not NULL_ARRAY:
        return server._finished(reply)
    blocked = connection.blocked = Blocked(connection, [(connection.db, key) for key in args[1:-1]])
    server.waiters.append(blocked)
    if float(args[-1]) > 0:

        def timed_out() -> None:
            if connection.blocked is blocked:
                if server.hung:
                    server.clock.at(0.01, timed_out)
                else:
                    connection.unblock(NULL_ARRAY)

        server.clock.at(float(args[-1]), timed_out)
    return NOTHING


def _client(server: Server, connection: Connection, args: list[bytes]) -> Any:
    what = args[1].upper()
    if what == b"UNBLOCK":
        return _client_unblock(server, args)
    if what == b"PAUSE" and not args[2].isdigit():
        raise Error("ERR timeout is not an integer or out of range")
    if what == b"PAUSE":
        server.pause_writes(int(args[2]) / 1000)
    elif what == b"UNPAUSE":
        server.paused_until = 0.0
        server.clock.at(0, server.wake_paused)
    elif what == b"TRACKING":
        connection.tracking = {each.upper() for each in args[2:]}
    elif what == b"CACHING":
        connection.caching = True
    elif what == b"ID":
        return connection.id
    elif what == b"LIST":
        return _client_list(server, int(args[3]))
    return OK


def _client_list(server: Server, number: int) -> bytes:
    other = server.connections.get(number)
    if other is None:
        return b""
    flags = f"{'x' if other.queue is not None else ''}{'d' if other.dirty else ''}" or "N"
    return f"id={number} db={other.db} flags={flags} multi=-1\n".encode()


def _client_unblock(server: Server, args: list[bytes]) -> int:
    other = server.connections.get(int(args[2]))
    if other is None or other.blocked is None:
        return 0
    by_error = len(args) > 3 and args[3].upper() == b"ERROR"
    other.unblock(Error("UNBLOCKED client unblocked via CLIENT UNBLOCK") if by_error else NULL_ARRAY)
    return 1


def _config(server: Server, connection: Connection, args: list[bytes]) -> Any:
    if args[1].upper() == b"REWRITE":
        raise Error("ERR The server is running without a config file")
    name = args[2].decode()
    if args[1].upper() == b"GET":
        return {args[2]: server.config[name].encode()} if name in server.config else {}
    server.config[name] = args[3].decode()
    return OK


def _replicaof(server: Server, connection: Connection, args: list[bytes]) -> Any:
    if args[1].upper() == b"NO":
        server.promote()
    else:
        server.follow(args[1].decode(), int(args[2]))
    return OK


def _wait(server: Server, connection: Connection, args: list[bytes]) -> Any:
    if server.repl.primary is None and server.repl.has_backlog:
        server.propagate([(0, [b"NOOP"])], GETACK_BYTES)
    return server.good_replicas


def _eval(server: Server, connection: Connection, args: list[bytes]) -> Any:
    if args[1] != ENDLESS:
        return echo_script(server, connection.db, args)
    server.script = connection
    return NOTHING


def _script(server: Server, connection: Connection, args: list[bytes]) -> Any:
    if args[1].upper() == b"LOAD":
        digest = sha1(args[2]).hexdigest().encode()
        server.scripts.add(digest)
        return digest
    if server.script is None:
        raise Error("NOTBUSY No scripts in execution right now.")
    server.script.end.write(encode(Error("ERR Error running script: killed by user"), 2))
    server.end_script()
    return OK


def _evalsha(server: Server, connection: Connection, args: list[bytes]) -> Any:
    if args[1] not in server.scripts:
        raise Error("NOSCRIPT No matching script.")
    return OK


SPECIAL: dict[bytes, Callable[[Server, Connection, list[bytes]], Any]] = {
    b"HELLO": _hello,
    b"AUTH": _auth,
    b"SELECT": _select,
    b"MULTI": _multi,
    b"EXEC": _exec,
    b"DISCARD": _discard,
    b"WATCH": _watch,
    b"UNWATCH": _unwatch,
    b"BLPOP": _blpop,
    b"CLIENT": _client,
    b"CONFIG": _config,
    b"REPLICAOF": _replicaof,
    b"WAIT": _wait,
    b"REPLCONF": lambda server, connection, args: OK,
    b"EVAL": _eval,
    b"EVALSHA": _evalsha,
    b"SCRIPT": _script,
    **{prefix + b"SUBSCRIBE": pubsub.subscribe for prefix in (b"", b"P", b"S")},
    **{prefix + b"UNSUBSCRIBE": pubsub.unsubscribe for prefix in (b"", b"P", b"S")},
    b"PING": pubsub.ping,
    b"PUBLISH": pubsub.publish,
    b"SPUBLISH": pubsub.publish,
}
ANSWERED_WHILE_BUSY = frozenset({b"HELLO", b"AUTH", b"CLIENT", b"SELECT", b"SCRIPT"})
IN_MULTI = frozenset({b"EXEC", b"DISCARD", b"MULTI", b"WATCH"})
