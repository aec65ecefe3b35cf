"""XREAD's C{$}: the last entry of a stream at the moment of the command, whenever and wherever it is sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.client.waiting import Reason
from redisproxy.forwarding.collector import Collector
from redisproxy.resp import COMMAND, encode_command

if TYPE_CHECKING:
    from redisproxy.client.client import Client
    from redisproxy.forwarding.interfaces import Connection

_TOO_LARGE = "ERR redisproxy can't tell the last id of a stream whose last entry is so large"


def dollars_of(args: list[bytes]) -> dict[int, bytes]:
    """Where an XREAD has C{$} for an id, and of which stream; empty if its arguments are wrong, and for others."""
    if args[0].upper() != b"XREAD":
        return {}
    at = next((position for position, arg in enumerate(args) if arg.upper() == b"STREAMS"), len(args)) + 1
    keys, odd = divmod(len(args) - at, 2)
    ids = range(at + keys, len(args))
    return {} if odd else {position: args[position - keys] for position in ids if args[position] == b"$"}


def resolve(client: Client, args: list[bytes], dollars: dict[int, bytes]) -> bool:
    """Replace each C{$} of an XREAD by the id of its stream's last entry, so that it can be sent again later.

    The question goes over the shared connection, where the writes of others go, so that no later one is before it.
    """
    connection = _where_to_ask(client)
    if connection is None:
        return False

    def answered(replies: list[object] | None) -> None:
        if client.closed:
            return
        if replies is not None:
            _replace(client, args, dict(zip(dollars, replies, strict=True)))
        elif connection.alive:
            client.received.current = None
            client.output.error(_TOO_LARGE)
        client.waiting.unblock(Reason.UPLINK)

    data = b"".join(encode_command("XREVRANGE", key, "+", "-", "COUNT", 1) for key in dollars.values())
    connection.submit_own(Collector(len(dollars), answered), data, len(dollars))
    client.waiting.block(Reason.UPLINK)
    return False


def _replace(client: Client, args: list[bytes], replies: dict[int, object]) -> None:
    fixed = list(args)
    for position, reply in replies.items():
        fixed[position] = _last_id(reply)
    raw = encode_command(*fixed)
    client.session.reply_mode.comes_again_as(raw)
    client.received.current = (COMMAND, raw, fixed)


def _where_to_ask(client: Client) -> Connection | None:
    """The connection, or None when it has to be waited for. No reply is outstanding."""
    session, route = client.session, client.route
    if not session.bound and client.core.multiplex:
        shared: Connection | None = client.core.uplinks.shared(session.key)
        if shared is not None:
            return shared
    return route.connection if client.acquirer.obtain(pinned=session.bound) else None


def _last_id(reply: object) -> bytes:
    if isinstance(reply, list) and reply and isinstance(reply[0], list) and isinstance(reply[0][0], bytes):
        return reply[0][0]
    return b"0-0"  # not a stream: Redis says so when it gets the command
