"""The table of clients that operators see: in the same process and in another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from redisproxy.dataplane.interface import COLUMNS, SWITCHOVER, ClientQuery, ClientTable, DataPlane
from tests.control.over_amp import over_amp, promptly
from tests.control.rig import Outcome, Rig, same_process


@pytest.fixture(params=[same_process, over_amp])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    rig = Rig(request.param, tmp_path)
    yield rig
    rig.end()


@pytest.fixture
def dataplane(rig: Rig) -> DataPlane:
    return rig.local if rig.same_process else promptly(rig.dataplane, rig.clock)


def table(dataplane: DataPlane, **which: Any) -> ClientTable:
    outcome = Outcome(dataplane.clients.table(ClientQuery(**which)))
    assert isinstance(outcome.value, ClientTable)
    return outcome.value


def ids(dataplane: DataPlane, **which: Any) -> list[int]:
    return [row.id for row in table(dataplane, **which).rows]


@pytest.fixture
def clients(rig: Rig) -> list[Any]:
    """A worker that waits, one that named itself and its library, and one that has queued something."""
    clients = [rig.client() for _ in range(3)]
    clients[0].send("BLPOP", "nothing", 0)
    clients[1].send("CLIENT", "SETNAME", "Shop-1")
    clients[1].send("CLIENT", "SETINFO", "LIB-NAME", "redis-py")
    clients[1].send("CLIENT", "SETINFO", "LIB-VER", "5.0")
    clients[1].send("SELECT", 5)
    rig.advance(3)
    clients[2].send("MULTI")
    rig.advance(0.1)
    return clients


def test_a_row_tells_who_a_client_is_and_what_it_does(clients: list[Any], dataplane: DataPlane) -> None:
    found = table(dataplane)
    assert found.total == 3 and found.missing == ()
    blocked, named, queuing = found.rows
    assert (blocked.id, blocked.state, blocked.cmd, blocked.pending) == (1, "blocked", "blpop", 1)
    assert (named.name, named.lib, named.db, named.user, named.state) == (
        "Shop-1",
        "redis-py 5.0",
        5,
        "default",
        "idle",
    )
    assert named.idle_s >= 1 and named.age_s == pytest.approx(3.1, abs=0.2) and named.addr and named.worker is None
    assert queuing.state == "transaction"


def test_every_filter_narrows_and_all_of_them_have_to_be_true(clients: list[Any], dataplane: DataPlane) -> None:
    cases: list[tuple[dict[str, Any], list[int]]] = [
        ({"ids": frozenset({1, 3, 9})}, [1, 3]),
        ({"addr": table(dataplane).rows[2].addr}, [3]),
        ({"addr": "nowhere"}, []),
        ({"user": "default"}, [1, 2, 3]),
        ({"user": "def"}, []),
        ({"name": "SHOP"}, [2]),
        ({"lib": "py 5"}, [2]),
        ({"db": 5}, [2]),
        ({"db": 0}, [1, 3]),
        ({"cmd": "BLPOP"}, [1]),
        ({"state": "transaction"}, [3]),
        ({"text": "shop"}, [2]),
        ({"min_idle_s": 1.0}, [1, 2]),
        ({"min_age_s": 100.0}, []),
        ({"min_pending": 1}, [1]),
        ({"db": 0, "state": "blocked"}, [1]),
    ]
    for which, expected in cases:
        assert ids(dataplane, **which) == expected, which


@pytest.mark.parametrize("column", COLUMNS)
def test_it_is_sorted_by_every_column_both_ways(clients: list[Any], dataplane: DataPlane, column: str) -> None:
    values = [getattr(row, column) for row in table(dataplane, sort=column).rows]
    assert values == sorted(values)
    assert ids(dataplane, sort=column, descending=True) == ids(dataplane, sort=column)[::-1]


def test_no_more_rows_than_were_asked_for_are_told_and_how_many_there_are(rig: Rig, dataplane: DataPlane) -> None:
    for _ in range(5):
        rig.client()
    rig.advance(0.1)
    for sort, expected in {"id": [1, 2], "age_s": [1, 2]}.items():
        found = table(dataplane, limit=2, sort=sort)
        assert [row.id for row in found.rows] == expected and found.total == 5


def test_whoever_waits_at_the_gate_is_held(rig: Rig, clients: list[Any], dataplane: DataPlane) -> None:
    dataplane.gate.hold(SWITCHOVER)
    rig.advance(0.1)
    clients[1].send("GET", "a")
    rig.advance(0.1)
    assert ids(dataplane, state="held") == [2]


def test_many_clients_are_looked_at_in_several_turns(
    rig: Rig, dataplane: DataPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redisproxy.dataplane.client_table.AT_A_TIME", 2)
    for _ in range(5):
        rig.client()
    rig.advance(0.1)
    asked = rig.local.clients.table(ClientQuery())
    assert not asked.called
    rig.advance(0.1)
    assert len(Outcome(asked).value.rows) == 5
    cancelled = Outcome(rig.local.clients.table(ClientQuery()))
    cancelled.deferred.cancel()
    rig.advance(0.1)
    assert cancelled.error is not None


def test_names_that_are_no_text_are_escaped(rig: Rig, dataplane: DataPlane) -> None:
    rig.client()
    rig.advance(0.1)
    client = rig.local.registry.get(1)
    assert client is not None
    client.session.name = b"\xffn\xc3\xa4me"
    assert table(dataplane).rows[0].name == "\\xffnäme"
