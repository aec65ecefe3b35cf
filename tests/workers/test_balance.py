"""How many clients go where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redisproxy.workers.balance import moves, room

LOADS = st.dictionaries(st.integers(1, 8), st.integers(0, 500), min_size=1, max_size=8)


@given(LOADS, st.integers(0, 1000))
def test_there_is_room_for_all_who_come_and_it_is_where_there_are_fewest(loads: dict[int, int], coming: int) -> None:
    to = room(loads, coming)
    assert sum(to.values()) >= coming
    after = {name: loads[name] + to.get(name, 0) for name in loads}
    assert all(after[name] <= max(min(after.values()), loads[name]) for name in after)


def test_nobody_has_room_where_nobody_serves() -> None:
    assert room({}, 0) == {} and moves({}) == []


@given(LOADS)
def test_after_the_moves_all_have_about_as_many(loads: dict[int, int]) -> None:
    after = dict(loads)
    for name, to in moves(loads):
        for other, count in to.items():
            assert count > 0
            after[name] -= count
            after[other] += count
    mean = sum(loads.values()) / len(loads)
    assert sum(after.values()) == sum(loads.values())
    assert max(after.values()) - min(after.values()) <= max(len(loads), 2, 0.1 * mean)


@pytest.mark.parametrize("loads", [{1: 10, 2: 8}, {1: 0, 2: 1, 3: 1}, {1: 105, 2: 100, 3: 95}])
def test_nobody_is_moved_for_a_few(loads: dict[int, int]) -> None:
    assert moves(loads) == []


def test_a_new_worker_gets_from_all() -> None:
    assert moves({1: 30, 2: 30, 3: 0}) == [(1, {3: 10}), (2, {3: 10})]
