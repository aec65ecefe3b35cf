"""SUBSCRIBE and its kin, where the setting C{pubsub} allows them, and what a subscriber may send besides.

A subscriber has a pinned connection; C{subscription} is what it brings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.client.message_stream import MAX_NAMES_BYTES, NAME_BYTES
from redisproxy.client.waiting import Reason
from redisproxy.commands.treatment import Treatment
from redisproxy.handlers.command_names import full_name
from redisproxy.handlers.forward import forward
from redisproxy.handlers.subscription import CONFIRMATIONS, Confirmed, settle_stream, stream_of
from redisproxy.resp import bulk, integer, null, push_header

if TYPE_CHECKING:
    from redisproxy.client.client import Client

IN_CONTEXT = frozenset(prefix.upper() for prefix in CONFIRMATIONS) | {b"PING", b"QUIT", b"RESET"}
NOT_WHILE_SUBSCRIBED = (
    "ERR redisproxy does not run this command for a client with subscriptions; use another connection"
)

TOO_MANY = (
    f"ERR redisproxy remembers no more than {MAX_NAMES_BYTES >> 20} MiB of channels and patterns for a client;"
    " use patterns or another connection"
)


def expected(args: list[bytes], names: dict[bytes, None]) -> int:
    """How many confirmations the server sends for a (P|S)(UN)SUBSCRIBE."""
    return len(args) - 1 if len(args) > 1 else max(1, len(names))


def rejection(args: list[bytes]) -> str | None:
    """The error with which Redis refuses to run one of these commands, or to queue it."""
    word = args[0].lower()
    if CONFIRMATIONS[word][1] and len(args) < 2:
        return f"ERR wrong number of arguments for '{word.decode()}' command"
    return None


def not_subscribed(client: Client, args: list[bytes]) -> bytes:
    """The confirmations of an UNSUBSCRIBE or its kin when there is nothing to end, which binds nothing."""
    version = client.session.resp_version
    verb = push_header(3, version) + bulk(args[0].lower())
    names = [bulk(name) for name in args[1:]] or [null(version)]
    return b"".join(verb + name + integer(0) for name in names)


def subscribe(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Handle SUBSCRIBE, UNSUBSCRIBE and their kin. No reply is outstanding."""
    word = args[0].lower()
    prefix, adds = CONFIRMATIONS[word]
    problem = rejection(args)
    if problem is not None:
        client.output.error(problem)
        return True
    if adds and _too_many(client, args[1:]):
        client.refuse(args, TOO_MANY)
        return True
    if not adds and client.route.stream is None:
        return _unsubscribe_from_nothing(client, raw, args)
    if not client.acquirer.obtain(pinned=True):
        return False
    stream = stream_of(client)
    if not client.session.subscribed:
        client.session.subscribed = True
        client.apply_framing()
    count = expected(args, stream.names[prefix])
    client.sender.many(Confirmed(client, lambda _: _settle(client)), raw, count)
    client.waiting.block(Reason.REPLIES)
    return True


def _too_many(client: Client, names: list[bytes]) -> bool:
    """Whether more would be kept for the client than may be, if it had these as well."""
    stream = client.route.stream
    kept = 0 if stream is None else stream.names_bytes
    return kept + sum(map(len, names)) + NAME_BYTES * len(names) > MAX_NAMES_BYTES


def _unsubscribe_from_nothing(client: Client, raw: bytes, args: list[bytes]) -> bool:
    if args[0].upper() == b"SUNSUBSCRIBE" and (major_version(client) or 7) < 7:
        return forward(client, raw, 1)  # unknown there, and the server says so
    client.output.write(not_subscribed(client, args))
    return True


def major_version(client: Client) -> int | None:
    """The server's version, up to the first dot, if it is known. Shard channels came with Redis 7."""
    version = client.core.uplinks.server.get(b"version")
    major = version.split(b".")[0] if isinstance(version, bytes) else b""
    return int(major) if major.isdigit() and len(major) < 4 else None


def _settle(client: Client) -> None:
    """The last subscription may have ended, and with it what binds the client to its connection."""
    if client.lane.pending or client.route.stream is None or client.route.stream:
        return
    end(client)


def end(client: Client) -> None:
    """Be no subscriber any more. The connection brings only replies now, unless it is tracked; a WATCH on it stays."""
    client.session.subscribed = False
    client.apply_framing()
    settle_stream(client)


def refusal(client: Client, args: list[bytes]) -> str:
    """What a subscriber is told that sends a command which it may not.

    In RESP2 that is everything but the commands of this context (the text is Redis's own, src/server.c); in RESP3 only
    what would bind further state to the connection.
    """
    if client.session.resp_version != 2:
        return NOT_WHILE_SUBSCRIBED
    shown = full_name(args).decode("latin-1")
    prefix = "EXECABORT Transaction discarded because of:" if shown == "exec" else "ERR"
    return (
        f"{prefix} Can't execute '{shown}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in"
        " this context"
    )
