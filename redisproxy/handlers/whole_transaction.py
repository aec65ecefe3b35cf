"""A MULTI ... EXEC that has arrived whole and depends on nothing: it goes out in one piece on a shared connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.client.receive_buffer import Unit
from redisproxy.commands.treatment import Rule
from redisproxy.handlers import noting
from redisproxy.handlers.forward import forward
from redisproxy.resp import COMMAND, RUN, ProtocolError

if TYPE_CHECKING:
    from redisproxy.client.client import Client

_INSIDE = frozenset({Rule.FORWARD, Rule.BLOCKING, Rule.SCRIPT, Rule.EVAL, Rule.PUBLISH})


def may_go_whole(client: Client) -> bool:
    """Whether nothing is special about the client, so that it depends only on what has arrived."""
    session = client.session
    pinned = client.route.pinned and not client.share.dedicated
    return client.core.multiplex and not pinned and not session.special and not session.reply_mode.muted


def collect(client: Client, raw: bytes) -> bool:
    """Take the units up to EXEC. When they are there and plain, they replace the MULTI that is being handled."""
    chunks, count, taken = [raw], 1, []
    while (unit := _next(client)) is not None:
        taken.append(unit)
        kind, data, extra = unit
        rule = Rule.FORWARD if kind == RUN else client.core.table.treatment(extra).rule if kind == COMMAND else None
        if rule in (Rule.SCRIPT, Rule.EVAL):
            client.core.scripts.see(extra)
        if rule is Rule.EVAL:
            client.share.dedicate()
        chunks.append(data)
        count += extra if kind == RUN else 1
        if rule is Rule.EXEC:
            client.identity.last_command = b"exec"
            client.received.current = (RUN, b"".join(chunks), count)
            return True
        if rule not in _INSIDE or (kind == COMMAND and client.core.notes.on and noting.changes_of(client, extra)):
            break
    client.received.park(taken)
    return False


def _next(client: Client) -> Unit | None:
    try:
        return client.received.next()
    except ProtocolError:
        return None  # framing raises it again once what came before it has been handled


def send(client: Client) -> bool:
    """Send what was collected."""
    unit = client.received.current
    assert unit is not None
    return forward(client, unit[1], unit[2])
