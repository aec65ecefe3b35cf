"""HELLO: its options, its answer, and the RESP version of a client's replies.

Texts and formats are Redis 7's own (src/networking.c, https://redis.io/docs/latest/commands/hello/). It is never
forwarded as it is, so no password of a client reaches Redis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy import resp
from redisproxy.client.names import may_be_kept
from redisproxy.client.waiting import Reason
from redisproxy.forwarding.collector import Collector
from redisproxy.handlers.login import WRONGPASS, close_guesser, login

if TYPE_CHECKING:
    from redisproxy.client.client import Client
    from redisproxy.forwarding.interfaces import Connection

HELLO_NOAUTH = (
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass>"
    " option can be used to authenticate the client and select the RESP protocol version at the same time"
)
BAD_NAME = "ERR Client names cannot contain spaces, newlines or special characters."


class _HelloError(Exception):
    pass


def hello(client: Client, args: list[bytes]) -> bool:
    """Answer HELLO. False when the server has to be asked first what it is."""
    known = client.core.uplinks.server or client.session.user is None or client.route.pinned
    if not known and not client.acquirer.know_server():
        return False
    try:
        version, credentials, name = _hello_options(args)
        _log_in(client, credentials)
    except _HelloError as problem:
        client.output.error(str(problem))
        close_guesser(client)
        return True
    if name is not None:
        client.session.name = name
    if version is not None:
        set_version(client, version)
    if version == 2:
        client.core.maintenance.forget(client)
    client.output.answer(_hello_reply(client))
    if client.session.tracking is not None:
        client.pushes.tell_owed()
    return True


def _log_in(client: Client, credentials: tuple[bytes, bytes] | None) -> None:
    if credentials is None:
        if client.session.user is None:
            raise _HelloError(HELLO_NOAUTH)
    elif not login(client, *credentials):
        raise _HelloError(WRONGPASS)


def hello_version(args: list[bytes]) -> int | None:
    """The RESP version that a HELLO asks for, if it asks for one and its options can be read."""
    try:
        return _hello_options(args)[0]
    except _HelloError:
        return None


def _hello_options(args: list[bytes]) -> tuple[int | None, tuple[bytes, bytes] | None, bytes | None]:
    if len(args) == 1:
        return None, None, None
    if not args[1].isdigit() or len(args[1]) > 18:
        raise _HelloError("ERR Protocol version is not an integer or out of range")
    if args[1] not in (b"2", b"3"):
        raise _HelloError("NOPROTO unsupported protocol version")
    credentials: tuple[bytes, bytes] | None = None
    name: bytes | None = None
    rest = args[2:]
    while rest:
        option = rest[0].upper()
        if option == b"AUTH" and len(rest) >= 3:
            credentials, rest = (rest[1], rest[2]), rest[3:]
        elif option == b"SETNAME" and len(rest) >= 2:
            name, rest = rest[1], rest[2:]
            if not may_be_kept(name):
                raise _HelloError(BAD_NAME)
        else:
            raise _HelloError(f"ERR Syntax error in HELLO option '{rest[0][:64].decode('latin-1')}'")
    return int(args[1]), credentials, name


def _hello_reply(client: Client) -> bytes:
    version = client.session.resp_version
    fields = (
        (b"server", _server_text(client, b"server", b"redis")),
        (b"version", _server_text(client, b"version", b"7.0.0")),
        (b"proto", resp.integer(version)),
        (b"id", resp.integer(client.id)),
        (b"mode", _server_text(client, b"mode", b"standalone")),
        (b"role", _server_text(client, b"role", b"master")),
        (b"modules", resp.array_header(0)),
    )
    return resp.map_header(len(fields), version) + b"".join(resp.bulk(name) + value for name, value in fields)


def _server_text(client: Client, key: bytes, default: bytes) -> bytes:
    value = client.core.uplinks.server.get(key, default)
    return resp.bulk(value if isinstance(value, bytes) else default)


def set_version(client: Client, version: int) -> None:
    """HELLO was answered: replies are of this RESP version from here on. No reply is outstanding."""
    session, route = client.session, client.route
    connection = route.connection
    if route.pinned and connection is not None and version != connection.resp_version:
        _say_hello(client, connection, version)
    elif version != session.resp_version and not route.pinned:
        route.forget_shared()
    session.resp_version = version


def _say_hello(client: Client, connection: Connection, version: int) -> None:
    """Tell the server. The next command waits, because it may turn the replies into a stream with messages."""
    client.waiting.block(Reason.UPLINK)
    answered = Collector(1, lambda _: client.waiting.unblock(Reason.UPLINK))
    connection.submit_own(answered, resp.encode_command("HELLO", version), 1)
    connection.resp_version = version
