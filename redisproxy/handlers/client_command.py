"""CLIENT and its subcommands, answered by the proxy about its own clients.

Formats and texts are Redis 7's (https://redis.io/docs/latest/commands/client/, src/networking.c); the ids are the
proxy's, and stay the same when it moves to another Redis server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from redisproxy import resp
from redisproxy.client.names import may_be_kept
from redisproxy.client.output import OK
from redisproxy.handlers import blocking, client_kill, client_list
from redisproxy.handlers.client_filters import Problem, integer
from redisproxy.handlers.waiting_for_workers import reply_later
from redisproxy.shared.maintenance import ENDPOINT_TYPES, NO_ENDPOINT

if TYPE_CHECKING:
    from redisproxy.client.client import Client


_HELP = [
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands answered by redisproxy are:",
    "CACHING, GETNAME, GETREDIR, ID, INFO, KILL, LIST, MAINT_NOTIFICATIONS, NO-EVICT, NO-TOUCH, REPLY, SETINFO,"
    " SETNAME, TRACKING, TRACKINGINFO, UNBLOCK, HELP",
]


def answer(client: Client, args: list[bytes]) -> bool:
    """Answer CLIENT in `args`, of which L{rejection} has nothing to say. No reply may be outstanding."""
    function = _SUBCOMMANDS[args[1].decode("latin-1").upper()][2]
    try:
        reply = function(client, args[2:])
    except Problem as problem:
        client.output.error(str(problem))
    else:
        if reply:
            client.output.answer(reply)
    return True


def rejection(args: list[bytes]) -> str | None:
    """The error with which Redis refuses to run a CLIENT, or to queue it, before it looks at it further."""
    if len(args) < 2:
        return "ERR wrong number of arguments for 'client' command"
    name = args[1][:64].decode("latin-1")
    entry = _SUBCOMMANDS.get(name.upper())
    if entry is None:
        return f"ERR unknown subcommand '{name}'. Try CLIENT HELP."
    least, most, _ = entry
    if not least <= len(args) - 2 <= most:
        return f"ERR wrong number of arguments for 'client|{name.lower()}' command"
    return None


def _id(client: Client, args: list[bytes]) -> bytes:
    return resp.integer(client.id)


def _get_name(client: Client, args: list[bytes]) -> bytes:
    session = client.session
    return resp.bulk(session.name) if session.name else resp.null(session.resp_version)


def _set_name(client: Client, args: list[bytes]) -> bytes:
    if not may_be_kept(args[0]):
        raise Problem("ERR Client names cannot contain spaces, newlines or special characters.")
    client.session.name = args[0]
    return OK


def _set_info(client: Client, args: list[bytes]) -> bytes:
    option, value = args[0].lower(), args[1]
    if option not in (b"lib-name", b"lib-ver"):
        raise Problem(f"ERR Unrecognized option '{args[0][:64].decode('latin-1')}'")
    if not may_be_kept(value):
        raise Problem(f"ERR {option.decode()} cannot contain spaces, newlines or special characters.")
    if option == b"lib-name":
        client.session.lib_name = value
    else:
        client.session.lib_version = value
    return OK


def _on_off(client: Client, args: list[bytes]) -> bytes:
    if args[0].lower() not in (b"on", b"off"):
        raise Problem("ERR syntax error")
    return OK


def _reply(client: Client, args: list[bytes]) -> bytes:
    mode, replies = args[0].lower(), client.session.reply_mode
    if mode == b"on":
        replies.on()
    elif mode == b"off":
        replies.off()
    elif mode == b"skip":
        replies.skip_next()
    else:
        raise Problem("ERR syntax error")
    client.apply_framing()
    return OK if mode == b"on" else b""


def _capa(client: Client, args: list[bytes]) -> bytes:
    return OK


def _maint_notifications(client: Client, args: list[bytes]) -> bytes:
    mode, options = args[0].lower(), args[1:]
    if mode not in (b"on", b"off") or len(options) % 2 or (mode == b"off" and options):
        raise Problem("ERR syntax error")
    maintenance = client.core.maintenance
    if mode == b"off":
        maintenance.forget(client)
        return OK
    if client.session.resp_version != 3:
        raise Problem("ERR CLIENT MAINT_NOTIFICATIONS needs RESP3 (HELLO 3): notifications are push messages")
    maintenance.tell(client, _endpoint_type(options))
    return OK


def _endpoint_type(options: list[bytes]) -> bytes:
    """The kind of address that a client wants to be moved to; the last one counts."""
    wanted = NO_ENDPOINT
    for option, value in zip(options[::2], options[1::2], strict=True):
        if option.lower() != b"moving-endpoint-type":
            raise Problem(f"ERR Unrecognized option '{option[:64].decode('latin-1')}'")
        wanted = value.lower()
        if wanted not in ENDPOINT_TYPES:
            raise Problem(f"ERR Unknown moving-endpoint-type '{value[:64].decode('latin-1')}'")
    return wanted


def _get_redirection(client: Client, args: list[bytes]) -> bytes:
    return resp.integer(-1 if client.session.tracking is None else 0)


def _tracking_info(client: Client, args: list[bytes]) -> bytes:
    """The answer while it is off; the server answers while it is on."""
    version = client.session.resp_version
    flags = resp.set_header(1, version) + resp.bulk(b"off")
    prefixes = resp.array_header(0)
    return b"".join(
        (
            resp.map_header(3, version),
            resp.bulk(b"flags") + flags,
            resp.bulk(b"redirect") + resp.integer(-1),
            resp.bulk(b"prefixes") + prefixes,
        )
    )


def _unblock(client: Client, args: list[bytes]) -> bytes:
    wanted = integer(args[0], "ERR value is not an integer or out of range")
    how = args[1].upper() if len(args) > 1 else b"TIMEOUT"
    if how not in (b"TIMEOUT", b"ERROR"):
        raise Problem("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    blocked, every = client.registry.get(wanted), client.core.every_worker
    if blocked is None and every is not None:
        return reply_later(client, every.unblock(wanted, how == b"ERROR"), lambda done: resp.integer(int(done)))
    return resp.integer(1 if blocked is not None and blocking.unblock(blocked, how) else 0)


def _help(client: Client, args: list[bytes]) -> bytes:
    return resp.array_header(len(_HELP)) + b"".join(resp.simple(line) for line in _HELP)


ANY = 1 << 20
_SUBCOMMANDS: dict[str, tuple[int, int, Callable[[Client, list[bytes]], bytes]]] = {
    "ID": (0, 0, _id),
    "GETNAME": (0, 0, _get_name),
    "SETNAME": (1, 1, _set_name),
    "SETINFO": (2, 2, _set_info),
    "INFO": (0, 0, client_list.info),
    "LIST": (0, ANY, client_list.listed),
    "KILL": (1, ANY, client_kill.kill),
    "UNBLOCK": (1, 2, _unblock),
    "MAINT_NOTIFICATIONS": (1, ANY, _maint_notifications),
    "NO-EVICT": (1, 1, _on_off),
    "NO-TOUCH": (1, 1, _on_off),
    "REPLY": (1, 1, _reply),
    "CAPA": (1, ANY, _capa),
    "GETREDIR": (0, 0, _get_redirection),
    "TRACKINGINFO": (0, 0, _tracking_info),
    "HELP": (0, 0, _help),
}
