"""What operators see of clients, and how they disconnect one."""

from __future__ import annotations

from redisproxy.dataplane.interface import ClientQuery
from tests.control.rig import Outcome, Rig

A_MOMENT_S = 0.1


def test_clients_are_told_as_plain_values_and_killed_by_their_ids(rig: Rig) -> None:
    clients = [rig.client() for _ in range(3)]
    clients[0].send("PING")
    rig.advance(A_MOMENT_S)
    asked = Outcome(rig.operations.clients(ClientQuery(limit=2)))
    rig.advance(A_MOMENT_S)
    table = asked.value
    assert [row["id"] for row in table["clients"]] == [1, 2] and table["total"] == 3 and table["missing"] == []
    assert set(table["clients"][0]) == {
        "id", "addr", "user", "name", "lib", "db", "cmd", "age_s", "idle_s", "pending", "state", "worker",
    }  # fmt: skip
    killed = Outcome(rig.operations.kill_clients(frozenset({2, 9})))
    rig.advance(A_MOMENT_S)
    assert killed.value == {"killed": 1} and [client.gone for client in clients] == [False, True, False]
