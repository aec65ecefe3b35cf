"""CLIENT and its subcommands, answered by the proxy about its own clients.

Formats and texts are Redis 7's (https://redis.io/docs/latest/commands/client/, src/networking.c); the ids are the
proxy's, and stay the same when it moves to another Redis server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from redisproxy import resp
from redisproxy.client.names import valid_name
from redisproxy.client.session import Skip
from redisproxy.shared.maintenance import ENDPOINT_TYPES, NO_ENDPOINT
from redisproxy.shared.registry import info_line

if TYPE_CHECKING:
    from redisproxy.client.protocol import ClientProtocol

OK = b"+OK\r\n"
Test = Callable[["ClientProtocol"], bool]

_HELP = [
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands answered by redisproxy are:",
    "CACHING, GETNAME, GETREDIR, ID, INFO, KILL, LIST, MAINT_NOTIFICATIONS, NO-EVICT, NO-TOUCH, REPLY, SETINFO,"
    " SETNAME, TRACKING, TRACKINGINFO, UNBLOCK, HELP",
]


class _Problem(Exception):
    """The command is wrong; C{str()} is the error text."""


def answer(client: ClientProtocol, args: list[bytes]) -> bool:
    """Answer CLIENT in `args`, of which L{rejection} has nothing to say. No reply may be outstanding."""
    function = _SUBCOMMANDS[args[1].decode("latin-1").upper()][2]
    try:
        reply = function(client, args[2:])
    except _Problem as problem:
        client.error(str(problem))
    else:
        if reply:
            client.answer(reply)
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


def _id(client: ClientProtocol, args: list[bytes]) -> bytes:
    return resp.integer(client.id)


def _get_name(client: ClientProtocol, args: list[bytes]) -> bytes:
    session = client.session
    return resp.bulk(session.name) if session.name else resp.null(session.resp_version)


def _set_name(client: ClientProtocol, args: list[bytes]) -> bytes:
    if not _valid(args[0]):
        raise _Problem("ERR Client names cannot contain spaces, newlines or special characters.")
    client.session.name = args[0]
    return OK


def _valid(name: bytes) -> bool:
    return valid_name(name) and len(name) <= 1024


def _set_info(client: ClientProtocol, args: list[bytes]) -> bytes:
    option, value = args[0].lower(), args[1]
    if option not in (b"lib-name", b"lib-ver"):
        raise _Problem(f"ERR Unrecognized option '{args[0][:64].decode('latin-1')}'")
    if not _valid(value):
        raise _Problem(f"ERR {option.decode()} cannot contain spaces, newlines or special characters.")
    if option == b"lib-name":
        client.session.lib_name = value
    else:
        client.session.lib_version = value
    return OK


def _text(client: ClientProtocol, text: bytes) -> bytes:
    return resp.verbatim(text, client.session.resp_version)


def _info(client: ClientProtocol, args: list[bytes]) -> bytes:
    return _text(client, info_line(client, client.core.clock.seconds()))


def _list(client: ClientProtocol, args: list[bytes]) -> bytes:
    if client.session.muted:
        return b""  # no backlog would stop a client that asks for many lists
    tests: list[Test] = []
    if args and args[0].upper() == b"TYPE" and len(args) == 2:
        tests.append(_of_type(args[1]))
    elif args and args[0].upper() == b"ID" and len(args) > 1:
        wanted = {_number(arg, "ERR Invalid client ID") for arg in args[1:]}
        tests.append(lambda each: each.id in wanted)
    elif args:
        raise _Problem("ERR syntax error")
    now = client.core.clock.seconds()
    return _text(client, b"".join(info_line(each, now) for each in client.core.registry.matching(*tests)))


def _number(arg: bytes, error: str) -> int:
    if not arg.isdigit() or len(arg) > 18 or int(arg) < 1:
        raise _Problem(error)
    return int(arg)


def _of_type(arg: bytes) -> Test:
    name = arg.lower()
    if name == b"normal":
        return lambda each: not _subscribes(each)
    if name == b"pubsub":
        return _subscribes
    if name in (b"master", b"replica", b"slave"):
        return lambda each: False
    raise _Problem(f"ERR Unknown client type '{arg[:64].decode('latin-1')}'")


def _subscribes(client: ClientProtocol) -> bool:
    """Whether it has subscriptions; one that monitors is a normal client, as with Redis."""
    return client.session.subscribed and client.subscription is not None and client.subscription.FLAG == "P"


def _kill(client: ClientProtocol, args: list[bytes]) -> bytes:
    if len(args) == 1:
        victims = client.core.registry.matching(_at(args[0]))
        if not victims:
            raise _Problem("ERR No such client")
        return _close_all(client, victims, OK)
    tests, skip_me = _kill_filters(client, args)
    victims = client.core.registry.matching(*tests)
    if skip_me:
        victims = [each for each in victims if each is not client]
    return _close_all(client, victims, resp.integer(len(victims)))


def _close_all(client: ClientProtocol, victims: list[ClientProtocol], reply: bytes) -> bytes:
    """Close them; who kills itself is told before, and nothing that it has sent behind this command is run."""
    for victim in victims:
        if victim is not client:
            victim.drop("killed")
    if client not in victims:
        return reply
    client.answer(reply)
    client.core.metrics.clients_closed["killed"] += 1
    client.close()
    return b""


def _at(address: bytes) -> Test:
    text = address.decode("latin-1")
    return lambda each: each.address == text


def _kill_filters(client: ClientProtocol, args: list[bytes]) -> tuple[list[Test], bool]:
    if len(args) % 2:
        raise _Problem("ERR syntax error")
    tests: list[Test] = []
    skip_me = True
    for option, value in zip(args[::2], args[1::2], strict=True):
        if option.upper() == b"SKIPME":
            if value.lower() not in (b"yes", b"no"):
                raise _Problem("ERR syntax error")
            skip_me = value.lower() == b"yes"
        else:
            tests.append(_kill_filter(client, option.upper(), value))
    return tests, skip_me


def _kill_filter(client: ClientProtocol, option: bytes, value: bytes) -> Test:
    if option == b"ID":
        wanted = _number(value, "ERR client-id should be greater than 0")
        return lambda each: each.id == wanted
    if option == b"TYPE":
        return _of_type(value)
    if option == b"ADDR":
        return _at(value)
    if option == b"LADDR":
        text = value.decode("latin-1")
        return lambda each: each.local_address == text
    if option == b"USER":
        if not client.auth.knows(value) and all(each.session.user != value for each in client.core.registry):
            raise _Problem(f"ERR No such user '{value[:64].decode('latin-1')}'")
        return lambda each: each.session.user == value
    if option == b"MAXAGE":
        age = _number(value, "ERR maxage is not an integer or out of range")
        now = client.core.clock.seconds()
        return lambda each: now - each.created >= age
    raise _Problem("ERR syntax error")


def _on_off(client: ClientProtocol, args: list[bytes]) -> bytes:
    if args[0].lower() not in (b"on", b"off"):
        raise _Problem("ERR syntax error")
    return OK


def _reply(client: ClientProtocol, args: list[bytes]) -> bytes:
    mode = args[0].lower()
    session = client.session
    if mode == b"on":
        session.muted, session.skip = False, Skip.NO
        client.apply_framing()
        return OK
    if mode == b"off":
        session.muted, session.skip = True, Skip.NO
    elif mode == b"skip":
        off = session.muted and session.skip is not Skip.NOW
        session.skip = Skip.NO if off else Skip.NEXT
    else:
        raise _Problem("ERR syntax error")
    client.apply_framing()
    return b""


def _capa(client: ClientProtocol, args: list[bytes]) -> bytes:
    return OK


def _maint_notifications(client: ClientProtocol, args: list[bytes]) -> bytes:
    mode, options = args[0].lower(), args[1:]
    if mode not in (b"on", b"off") or len(options) % 2 or (mode == b"off" and options):
        raise _Problem("ERR syntax error")
    maintenance = client.core.maintenance
    if mode == b"off":
        maintenance.forget(client)
        return OK
    if client.session.resp_version != 3:
        raise _Problem("ERR CLIENT MAINT_NOTIFICATIONS needs RESP3 (HELLO 3): notifications are push messages")
    maintenance.tell(client, _endpoint_type(options))
    return OK


def _endpoint_type(options: list[bytes]) -> bytes:
    """The kind of address that a client wants to be moved to; the last one counts."""
    wanted = NO_ENDPOINT
    for option, value in zip(options[::2], options[1::2], strict=True):
        if option.lower() != b"moving-endpoint-type":
            raise _Problem(f"ERR Unrecognized option '{option[:64].decode('latin-1')}'")
        wanted = value.lower()
        if wanted not in ENDPOINT_TYPES:
            raise _Problem(f"ERR Unknown moving-endpoint-type '{value[:64].decode('latin-1')}'")
    return wanted


def _get_redirection(client: ClientProtocol, args: list[bytes]) -> bytes:
    return resp.integer(-1 if client.session.tracking is None else 0)


def _tracking_info(client: ClientProtocol, args: list[bytes]) -> bytes:
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


def _unblock(client: ClientProtocol, args: list[bytes]) -> bytes:
    wanted = _number(args[0], "ERR value is not an integer or out of range")
    how = args[1].upper() if len(args) > 1 else b"TIMEOUT"
    if how not in (b"TIMEOUT", b"ERROR"):
        raise _Problem("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    blocked = client.core.registry.get(wanted)
    return resp.integer(1 if blocked is not None and blocked.unblock_command(how) else 0)


def _help(client: ClientProtocol, args: list[bytes]) -> bytes:
    return resp.array_header(len(_HELP)) + b"".join(resp.simple(line) for line in _HELP)


ANY = 1 << 20
_SUBCOMMANDS: dict[str, tuple[int, int, Callable[[ClientProtocol, list[bytes]], bytes]]] = {
    "ID": (0, 0, _id),
    "GETNAME": (0, 0, _get_name),
    "SETNAME": (1, 1, _set_name),
    "SETINFO": (2, 2, _set_info),
    "INFO": (0, 0, _info),
    "LIST": (0, ANY, _list),
    "KILL": (1, ANY, _kill),
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
