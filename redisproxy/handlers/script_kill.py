"""SCRIPT KILL and FUNCTION KILL: what ends a script must not wait for it, neither at the gate nor on a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.python.failure import Failure

from redisproxy.client.waiting import Reason
from redisproxy.commands.treatment import Rule, Treatment
from redisproxy.net.errors import OutcomeUnknown, UplinkMoved
from redisproxy.resp import COMMAND, ProtocolError, error

if TYPE_CHECKING:
    from redisproxy.client.client import Client


def comes_next(client: Client) -> bool:
    """Whether the client's next command may pass a closed gate: a pause would wait for the script that it ends.

    One that has not arrived completely may be such a command: it is read on.
    """
    received = client.received
    session = client.session
    if session.user is None or session.transaction is not None or (session.subscribed and session.resp_version == 2):
        return False  # it is refused, or queued at the server
    try:
        received.current = unit = received.current or received.next()
    except ProtocolError:
        return False  # framing raises it again when the gate has opened
    if unit is None:
        return True
    return unit[0] == COMMAND and client.core.table.treatment(unit[2]).rule is Rule.KILL


def kill(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Send it on a connection made for it. No reply is outstanding; the gate does not count it."""
    client.waiting.block(Reason.UPLINK)
    _send(client, raw)
    return True


def _send(client: Client, raw: bytes) -> None:
    uplinks = client.core.uplinks

    def answered(reply: bytes) -> None:
        if not client.session.reply_mode.muted:
            client.pushes.send(reply)  # messages may come meanwhile
        client.waiting.unblock(Reason.UPLINK)

    def failed(failure: Failure) -> None:
        if failure.check(UplinkMoved) and client.core.uplinks is not uplinks:
            _send(client, raw)
        elif failure.check(OutcomeUnknown):
            client.lost()
        else:
            answered(error(f"MASTERDOWN redisproxy cannot reach its Redis server: {failure.getErrorMessage()}"))

    asking = uplinks.urgent(raw, client.session.resp_version)
    asking.addCallbacks(answered, failed).addErrback(client.closing.crashed)
