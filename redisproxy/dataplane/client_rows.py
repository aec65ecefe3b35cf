"""Which clients an operator wants to see, and what is shown of each: plain values, fit to cross processes.

Used through L{redisproxy.dataplane.interface}. What a client says of itself (its name, its library) is whatever it
likes: whoever shows it escapes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace

ROWS = 1000
"""How many are told when nobody says how many."""
MAX_ROWS = 10_000


@dataclass(frozen=True)
class ClientQuery:
    """Which clients; everything that is set has to be true of one.

    @ivar ids: one of these. @ivar addr: its address begins so. @ivar user: exactly. @ivar name, lib: contain this, in
        upper or lower case. @ivar db: it has selected. @ivar cmd: its last command. @ivar state: see L{ClientRow}.
    @ivar text: one of its address, user, name, library and command contains this, in upper or lower case.
    @ivar min_age_s, min_idle_s, min_pending: at least.
    @ivar sort: the column by which they are ordered. @ivar limit: so many of them are told.
    """

    ids: frozenset[int] | None = None
    addr: str | None = None
    user: str | None = None
    name: str | None = None
    lib: str | None = None
    db: int | None = None
    cmd: str | None = None
    state: str | None = None
    text: str | None = None
    min_age_s: float = 0.0
    min_idle_s: float = 0.0
    min_pending: int = 0
    sort: str = "id"
    descending: bool = False
    limit: int = ROWS


@dataclass(frozen=True)
class ClientRow:
    """One client.

    @ivar user: empty before it has logged in. @ivar lib: its library with the version.
    @ivar cmd: its last command, in lower case; empty while all were plain ones, such as GET and SET, which are not
        looked at.
    @ivar pending: replies that it waits for.
    @ivar state: C{held} (at the closed gate), C{blocked} (BLPOP and the like), C{slow reader}, C{waiting} (for a
        connection to the server), C{monitor}, C{subscribed}, C{transaction}, C{active} or C{idle}.
    @ivar worker: the number of the worker that has it; None without workers.
    """

    id: int
    addr: str
    user: str
    name: str
    lib: str
    db: int
    cmd: str
    age_s: float
    idle_s: float
    pending: int
    state: str
    worker: int | None = None


COLUMNS = tuple(each.name for each in fields(ClientRow) if each.name != "worker")
STATES = ("held", "blocked", "slow reader", "waiting", "monitor", "subscribed", "transaction", "active", "idle")


@dataclass(frozen=True)
class ClientTable:
    """Clients in the order that was asked for, and how many there are in all.

    @ivar missing: who has not told of its clients.
    """

    rows: tuple[ClientRow, ...]
    total: int
    missing: tuple[str, ...] = field(default=())


def together(tables: Iterable[tuple[int, ClientTable]], missing: tuple[str, ...], which: ClientQuery) -> ClientTable:
    """The tables of several workers as one.

    @param tables: with the numbers of the workers.
    """
    total = 0
    by_id: dict[int, ClientRow] = {}
    for number, table in tables:
        total += table.total
        # Whoever goes from one to another in this moment is with both.
        by_id |= {row.id: replace(row, worker=number) for row in table.rows}
    rows = sorted(by_id.values(), key=lambda row: (getattr(row, which.sort), row.id), reverse=which.descending)
    return ClientTable(tuple(rows[: which.limit]), max(total, len(rows)), missing)
