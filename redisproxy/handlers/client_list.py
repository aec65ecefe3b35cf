"""CLIENT LIST and CLIENT INFO (https://redis.io/docs/latest/commands/client-list/).

Fields that describe the inside of a Redis server are zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy import resp
from redisproxy.handlers.client_filters import Problem, integer, matching, of_type
from redisproxy.handlers.waiting_for_workers import reply_later
from redisproxy.shared.every_worker import ClientFilter

if TYPE_CHECKING:
    from redisproxy.client.client import Client


def info(client: Client, args: list[bytes]) -> bytes:
    """The answer to CLIENT INFO."""
    return _text(client, info_line(client, client.core.clock.seconds()))


def listed(client: Client, args: list[bytes]) -> bytes:
    if client.session.reply_mode.muted:
        return b""  # no backlog would stop a client that asks for many lists
    which, every = _wanted(args), client.core.every_worker
    if every is not None:
        return reply_later(client, every.list(which), lambda lines: _text(client, lines))
    now = client.core.clock.seconds()
    return _text(client, b"".join(info_line(each, now) for each in matching(client, which)))


def _wanted(args: list[bytes]) -> ClientFilter:
    option = args[0].upper() if args else b""
    if option == b"TYPE" and len(args) == 2:
        return of_type(ClientFilter(), args[1])
    if option == b"ID" and len(args) > 1:
        return ClientFilter(ids=frozenset(integer(arg, "ERR Invalid client ID") for arg in args[1:]))
    if args:
        raise Problem("ERR syntax error")
    return ClientFilter()


def _text(client: Client, text: bytes) -> bytes:
    return resp.verbatim(text, client.session.resp_version)


def info_line(client: Client, now: float) -> bytes:
    """One client, as both commands show it."""
    session, identity = client.session, client.identity
    seen = now if client.lane.active else identity.last_seen
    channels, patterns, shards = _subscriptions(client)
    multi = -1 if session.transaction is None else session.transaction.count
    text = (
        f"id={identity.id} addr={client.address} laddr={client.local_address} fd=0"
        f" name={_shown(session.name)} age={int(now - identity.created)} idle={int(now - seen)}"
        f" flags={_flags(client) or 'N'} db={session.db} sub={channels} psub={patterns} ssub={shards}"
        f" multi={multi} qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0"
        f" rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r"
        f" cmd={_shown(identity.last_command) or 'NULL'}"
        f" user={_shown(session.user or b'(superuser)')} redir={-1 if session.tracking is None else 0}"
        f" resp={session.resp_version} lib-name={_shown(session.lib_name)} lib-ver={_shown(session.lib_version)}"
    )
    return text.encode("latin-1") + b"\n"


def _shown(value: bytes) -> str:
    return value.decode("latin-1")


def _flags(client: Client) -> str:
    session, stream = client.session, client.route.stream
    tracking = session.tracking
    flags = (
        (stream.FLAG if stream is not None else "", session.subscribed),
        ("x", session.transaction is not None),
        ("b", client.waiting.blocking is not None),
        ("t", tracking is not None),
        ("B", tracking is not None and tracking.broadcast),
    )
    return "".join(letter for letter, is_set in flags if is_set)


def _subscriptions(client: Client) -> tuple[int, int, int]:
    if client.route.stream is None:
        return 0, 0, 0
    names = client.route.stream.names
    return len(names[b""]), len(names[b"p"]), len(names[b"s"])
