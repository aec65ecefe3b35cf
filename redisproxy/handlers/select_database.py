"""SELECT: on a shared connection a look whether the server has the database; on a pinned one the command itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.client.output import OK
from redisproxy.client.waiting import Reason
from redisproxy.commands.treatment import Treatment
from redisproxy.handlers.reply_sinks import Observed
from redisproxy.resp import strict_int

if TYPE_CHECKING:
    from redisproxy.client.client import Client

LOWEST, HIGHEST = -(1 << 31), (1 << 31) - 1
NO_INTEGER = "ERR value is not an integer or out of range"
OUT_OF_RANGE = f"ERR value is out of range, value must between {LOWEST} and {HIGHEST}"
NO_DATABASE = "ERR DB index is out of range"


def select(client: Client, raw: bytes, args: list[bytes], treatment: Treatment) -> bool:
    session = client.session
    if len(args) != 2:
        client.output.error("ERR wrong number of arguments for 'select' command")
        return True
    db = strict_int(args[1])
    if db is None or not 0 <= db <= HIGHEST:
        client.output.error(_problem(db))
        return True
    if client.route.pinned or session.bound or not client.core.multiplex:
        return _select_pinned(client, raw, db)
    return _select_shared(client, db)


def _problem(db: int | None) -> str:
    """What Redis says of a number that is that of no database, wherever."""
    if db is None:
        return NO_INTEGER
    return NO_DATABASE if LOWEST <= db <= HIGHEST else OUT_OF_RANGE


def _select_shared(client: Client, db: int) -> bool:
    """Look whether the uplink has the database: a connection can be had for it, or not."""
    session = client.session
    key = (db, session.resp_version)
    if db != session.db:
        connection = client.core.uplinks.shared(key)
        if connection is None:
            client.acquirer.acquire(False, key)
            return False
        client.route.connection = connection
        session.db = db
    client.output.answer(OK)
    return True


def _select_pinned(client: Client, raw: bytes, db: int) -> bool:
    if not client.acquirer.obtain(pinned=True):
        return False

    def done(head: bytes) -> None:
        if head.startswith(b"+OK") and client.route.connection is not None:
            client.session.db = client.route.connection.db = db
            if client.session.watching:
                client.session.watched = None

    client.sender.one(Observed(client, done), raw)
    client.waiting.block(Reason.REPLIES)
    return True
