"""Handing over by orders: to several takers, up to so many, and never while a move is prepared."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock

from redisproxy.dataplane.handover_orders import LocalHandover, dealt
from redisproxy.dataplane.turns import Turns
from redisproxy.dataplane.values import DataPlaneLost, HandoverRefused, Rejected, Taker
from redisproxy.shared.notes import Notes


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([10], [[1, 2, 3, 4, 5]]),
        ([2, 2], [[1, 3], [2, 4]]),
        ([1, 9], [[1], [2, 3, 4, 5]]),
        ([0, 1], [[], [1]]),
        ([], []),
    ],
)
def test_clients_are_dealt_out_in_turn_up_to_so_many(counts: list[int], expected: list[list[int]]) -> None:
    clients = [1, 2, 3, 4, 5]
    assert dealt(clients, counts) == expected  # type: ignore[arg-type,comparison-overlap]


def test_no_move_is_prepared_while_clients_are_on_their_way() -> None:
    turns = Turns()
    turns.giving = 1
    with pytest.raises(Rejected, match="on their way"):
        turns.prepare()
    turns.giving, turns.coming = 0, lambda: 1
    with pytest.raises(Rejected, match="on their way"):
        turns.prepare()
    assert not turns.prepared


def test_nobody_is_handed_over_while_a_move_is_prepared() -> None:
    turns = Turns()
    turns.prepare()
    with pytest.raises(HandoverRefused, match="is prepared"):
        turns.hand_over()
    turns.prepared = False
    turns.hand_over()


def test_one_that_reaches_nobody_is_not_lost_itself() -> None:
    def reach(path: str) -> Deferred[Any]:
        return fail(DataPlaneLost(f"the data plane at {path} can't be reached"))

    unused: Any = None
    turns = Turns()
    handover = LocalHandover(unused, unused, Notes(), unused, unused, Clock(), turns, reach)
    failures: list[Any] = []
    handover.hand_over((Taker("/run/w2", 5), Taker("/run/w3", 5)), 1.0).addErrback(failures.append)
    assert failures[0].check(HandoverRefused) and "/run/w2 can't be reached" in failures[0].getErrorMessage()
    assert not turns.giving
