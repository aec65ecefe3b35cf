"""The commands that the proxy answers itself: AUTH, HELLO, RESET, QUIT and ACL WHOAMI; CLIENT is next door.

Texts and formats are Redis 7's own (src/acl.c, src/networking.c). None of these commands is ever forwarded, so
no password of a client reaches Redis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from redisproxy import resp
from redisproxy.client import client_command
from redisproxy.client.names import valid_name
from redisproxy.client.session import Skip
from redisproxy.config.authentication import DEFAULT_USER

if TYPE_CHECKING:
    from redisproxy.client.protocol import ClientProtocol

OK = b"+OK\r\n"
WRONGPASS = "WRONGPASS invalid username-password pair or user is disabled."
NO_PASSWORD = (
    "ERR AUTH <password> called without any password configured for the default user."
    " Are you sure your configuration is correct?"
)
HELLO_NOAUTH = (
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass>"
    " option can be used to authenticate the client and select the RESP protocol version at the same time"
)
BAD_NAME = "ERR Client names cannot contain spaces, newlines or special characters."


def answer(client: ClientProtocol, args: list[bytes]) -> bool:
    """Answer the command in `args`. No reply may be outstanding. False when it has to wait for the uplink."""
    problem = rejection(args)
    if problem is not None:
        client.error(problem)
        return True
    return _ANSWERS[args[0].upper()](client, args)


def rejection(args: list[bytes]) -> str | None:
    """The error with which Redis refuses to run the command in `args`, or to queue it, before it looks at the rest."""
    name = args[0].upper()
    if name == b"CLIENT":
        return client_command.rejection(args)
    shown, least, most = _ARITY.get(name, ("", 1, client_command.ANY))
    return None if least <= len(args) <= most else wrong_arity(shown)


def wrong_arity(name: str) -> str:
    """Redis's error for a wrong number of arguments."""
    return f"ERR wrong number of arguments for '{name}' command"


def _auth(client: ClientProtocol, args: list[bytes]) -> bool:
    if len(args) > 3:
        client.error("ERR syntax error")
    elif len(args) == 2 and not client.auth.required:
        client.error(NO_PASSWORD)
    else:
        user = args[1] if len(args) == 3 else DEFAULT_USER
        if login(client, user, args[-1]):
            client.answer(OK)
        else:
            client.error(WRONGPASS)
            _close_guesser(client)
    return True


def login(client: ClientProtocol, user: bytes, password: bytes) -> bool:
    """Check a name and password and log the client in if they are right."""
    # A listener without users has the user "default" with no password, as Redis has: any password is right.
    open_to_all = not client.auth.required and user == DEFAULT_USER
    if not open_to_all and not client.auth.check(user, password):
        client.core.metrics.auth_failures_total += 1
        client.session.failed_logins += 1
        return False
    client.session.user = user
    client.apply_framing()
    return True


def _close_guesser(client: ClientProtocol) -> None:
    """Close a client that has given too many wrong passwords; the last error still reaches it."""
    if client.session.failed_logins >= client.core.limits.max_failed_logins:
        client.core.metrics.clients_closed["failed_logins"] += 1
        client.close()


class _HelloError(Exception):
    pass


def _hello(client: ClientProtocol, args: list[bytes]) -> bool:
    known = client.core.uplinks.server or client.session.user is None or client.route.pinned
    if not known and not client.route.know_server():
        return False
    try:
        version, credentials, name = _hello_options(args)
        if credentials is not None:
            if not login(client, *credentials):
                raise _HelloError(WRONGPASS)
        elif client.session.user is None:
            raise _HelloError(HELLO_NOAUTH)
    except _HelloError as problem:
        client.error(str(problem))
        _close_guesser(client)
        return True
    if name is not None:
        client.session.name = name
    if version is not None:
        client.route.set_version(version)
    if version == 2:
        client.core.maintenance.forget(client)
    client.answer(_hello_reply(client))
    client.route.tell_owed()
    return True


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
            if not valid_name(name):
                raise _HelloError(BAD_NAME)
        else:
            raise _HelloError(f"ERR Syntax error in HELLO option '{rest[0][:64].decode('latin-1')}'")
    return int(args[1]), credentials, name


def _hello_reply(client: ClientProtocol) -> bytes:
    server = client.core.uplinks.server
    version = client.session.resp_version

    def text(key: bytes, default: bytes) -> bytes:
        value = server.get(key, default)
        return value if isinstance(value, bytes) else default

    return b"".join(
        (
            resp.map_header(7, version),
            resp.bulk(b"server"),
            resp.bulk(text(b"server", b"redis")),
            resp.bulk(b"version"),
            resp.bulk(text(b"version", b"7.0.0")),
            resp.bulk(b"proto"),
            resp.integer(version),
            resp.bulk(b"id"),
            resp.integer(client.id),
            resp.bulk(b"mode"),
            resp.bulk(text(b"mode", b"standalone")),
            resp.bulk(b"role"),
            resp.bulk(text(b"role", b"master")),
            resp.bulk(b"modules"),
            resp.array_header(0),
        )
    )


def _reset(client: ClientProtocol, args: list[bytes]) -> bool:
    client.route.leave_quietly()
    client.route.connection = None
    skipped = client.session.skip is Skip.NOW
    client.session.reset()
    client.core.maintenance.forget(client)
    if skipped:  # RESET ends REPLY OFF, but a SKIP before it still means its own reply
        client.session.muted, client.session.skip = True, Skip.NOW
    client.session.user = None if client.auth.required else DEFAULT_USER
    client.apply_framing()
    client.answer(b"+RESET\r\n")
    return True


def _quit(client: ClientProtocol, args: list[bytes]) -> bool:
    client.answer(OK)
    client.close()
    return True


def _acl(client: ClientProtocol, args: list[bytes]) -> bool:
    client.answer(resp.bulk(client.session.user or DEFAULT_USER))
    return True


_ARITY = {
    b"AUTH": ("auth", 2, client_command.ANY),
    b"RESET": ("reset", 1, 1),
    b"ACL": ("acl|whoami", 2, 2),
}
_ANSWERS: dict[bytes, Callable[[ClientProtocol, list[bytes]], bool]] = {
    b"AUTH": _auth,
    b"HELLO": _hello,
    b"RESET": _reset,
    b"QUIT": _quit,
    b"ACL": _acl,
    b"CLIENT": client_command.answer,
}
