"""Answers for a client that can't have a connection, so that nothing half done can follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from redisproxy.client.output import OK
from redisproxy.client.receive_buffer import Unit
from redisproxy.commands.treatment import Rule
from redisproxy.handlers import transactions
from redisproxy.net.errors import DatabaseRefused, ServerBusy
from redisproxy.resp import BEGIN, COMMAND, RUN, error

if TYPE_CHECKING:
    from redisproxy.client.client import Client


def refuse(client: Client, failure: Failure) -> None:
    """Answer the command that waited for a connection which can't be had."""
    refused = bool(failure.check(DatabaseRefused, ServerBusy))
    text = failure.getErrorMessage()
    if not refused:
        text = f"MASTERDOWN redisproxy cannot reach its Redis server: {text}"
    unit, client.received.current = client.received.current, None
    if unit is not None:
        unreachable(client, unit, text, refused=refused)


def unreachable(client: Client, unit: Unit, text: str, refused: bool) -> None:
    """Answer a unit for which there is no connection with the error `text`, so that nothing half done can follow.

    A client may have sent more without waiting, and the server may be back by then. Redis never fails MULTI and SELECT
    for such a reason, so they are taken: EXEC fails then, and commands wait for the database.

    @param refused: it is the database that the server refuses.
    """
    kind, _, extra = unit
    session = client.session
    rule = client.core.table.treatment(extra).rule if kind == COMMAND else None
    if session.transaction is not None:
        transactions.unreachable(client, kind == COMMAND and transactions.ends(rule, extra))
        _answer_all(client, kind, extra, text)
    elif rule is Rule.MULTI:
        transactions.begin_dead(client)
    elif rule is Rule.SELECT and not refused:
        client.route.forget_shared()
        session.db = int(extra[1])
        client.output.answer(OK)
    else:
        _answer_all(client, kind, extra, text)


def _answer_all(client: Client, kind: int, extra: Any, text: str) -> None:
    if kind == RUN:
        client.output.answer(error(text) * extra)
        return
    client.output.error(text)
    if kind == BEGIN:
        client.received.upload.discard()
