"""SCRIPT KILL and FUNCTION KILL: what ends a script must not wait for it, neither at the gate nor on a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.python.failure import Failure

from redisproxy.client.reasons import Reason
from redisproxy.commands import Rule, Treatment
from redisproxy.resp import COMMAND, ProtocolError

if TYPE_CHECKING:
    from redisproxy.client.protocol import ClientProtocol


def comes_next(client: ClientProtocol) -> bool:
    """Whether the client's next command may pass a closed gate: a pause would wait for the script that it ends."""
    intake = client.intake
    session = client.session
    if session.user is None or session.transaction is not None or (session.subscribed and session.resp_version == 2):
        return False  # it is refused, or queued at the server
    try:
        intake.current = unit = intake.current or intake.next()
    except ProtocolError:
        return False  # framing raises it again when the gate has opened
    return unit is not None and unit[0] == COMMAND and client.core.table.treatment(unit[2]).rule is Rule.KILL


def kill(client: ClientProtocol, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    """Send it on a connection made for it. No reply is outstanding; the gate does not count it."""

    def answered(reply: bytes) -> None:
        client.answer(reply)
        client.unblock(Reason.UPLINK)

    def failed(failure: Failure) -> None:
        client.error(f"MASTERDOWN redisproxy cannot reach its Redis server: {failure.getErrorMessage()}")
        client.unblock(Reason.UPLINK)

    client.block(Reason.UPLINK)
    asking = client.core.uplinks.urgent(raw, client.session.resp_version)
    asking.addCallbacks(answered, failed).addErrback(client.crashed)
    return True
