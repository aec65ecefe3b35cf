"""What workers keep of what has passed, as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from redisproxy.figures.hot_keys import Hot, HotKey
from redisproxy.figures.seconds import Second
from redisproxy.figures.slow_log import SlowCommand
from redisproxy.workers.all_records import AllRecords, whole
from tests.workers.rig import Client, Rig, now


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.end()


def second(time: int, clients: int = 1) -> Second:
    return Second(time, 1, 0, 0, 0, clients, 0, 0)


def test_the_seconds_of_workers_are_sums_and_outlive_the_worker(rig: Rig) -> None:
    records = AllRecords(rig.members, rig.clock)
    clients = [Client(worker) for worker in rig.workers]
    rig.advance(1)
    began = int(rig.clock.seconds())
    for client in clients:
        client.send("SET", "key", 1)
    rig.advance(3)
    told = now(records.seconds(0))
    assert sum(each.commands for each in told) == pytest.approx(3, rel=0.1) and told[-1].clients == 3
    rig.workers[1].end("killed")
    rig.advance(3)
    later = now(records.seconds(began))
    assert set(told) <= set(now(records.seconds(0)))
    assert later[-1].clients == 2 and [each.time for each in later] == sorted({each.time for each in later})


def test_the_last_second_waits_until_all_have_told_of_it() -> None:
    slow, quick = (second(10), second(11)), (second(10), second(11), second(12))
    assert [each.time for each in whole([slow, quick])] == [10, 11]
    assert [each.clients for each in whole([slow, quick])] == [2, 2]


def test_nobody_waits_for_a_worker_that_tells_nothing_any_more() -> None:
    stuck, quick = (second(10),), (second(10), second(11), second(12))
    assert [each.time for each in whole([stuck, quick, ()])] == [10, 11, 12]


def test_slow_commands_of_all_workers_come_newest_first_with_ids_of_their_own(rig: Rig) -> None:
    records = AllRecords(rig.members, rig.clock)
    slow = SlowCommand(1, 0, 1, "10.9.9.9:1", "default", "GET", "k", 1.0, 200.0)
    for at, worker in enumerate((rig.workers[1], rig.workers[0])):
        worker.local.core.slow_log._entries.append(replace(slow, time=float(at)))
    told = now(records.slow_commands())
    assert [(each.time, each.id) for each in told] == [(1.0, 101), (0.0, 102)]


def test_hot_keys_of_all_workers_are_added(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    records = AllRecords(rig.members, rig.clock)
    for worker in rig.workers:
        found = Hot(10, 4, 40.0, (HotKey("a", "string", 30.0),))
        monkeypatch.setattr(worker.local.core.hot_keys, "hot", lambda found=found: found)
    assert now(records.hot_keys()) == Hot(10, 12, 120.0, (HotKey("a", "string", 90.0),))
