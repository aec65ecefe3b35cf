"""The figures of workers as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from redisproxy.figures.metrics import MAX_NAMES
from redisproxy.workers.all_figures import together
from redisproxy.workers.gone import Gone
from redisproxy.workers.share import files_of_one, share_of
from redisproxy.workers.tally import Tally
from tests.workers.rig import Client, Rig, now


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.end()


def test_figures_are_sums_and_connected_means_all(rig: Rig) -> None:
    for worker in rig.workers:
        Client(worker).send("SET", "key", worker.number)
    rig.advance(0.1)
    each = [now(worker.local.figures()) for worker in rig.workers]
    whole = together(each, Gone())
    assert whole.clients_open == 3 and whole.numbers["flow.commands"] == 3 and whole.uplink.connected
    assert whole.uplink.connections == sum(figures.uplink.connections for figures in each)
    rig.workers[1].end("killed")
    rig.advance(0.1)
    assert not together([now(worker.local.figures()) for worker in rig.workers], Gone()).uplink.connected


def test_no_counter_goes_down_when_a_worker_is_gone(rig: Rig) -> None:
    for worker in rig.workers:
        Client(worker).send("SET", "key", worker.number)
    rig.advance(0.1)
    first, *others = [now(worker.local.figures()) for worker in rig.workers]
    gone = Gone()
    gone.add(first, clients=1)
    gone.add(None, clients=0)
    whole = together(others, gone)
    assert whole.numbers["flow.commands"] == 3 and whole.numbers["clients.total"] == 3
    assert whole.numbers["clients.open"] == 2 and whole.clients_closed["worker_lost"] == 1


def test_what_gone_workers_have_refused_is_bounded_in_names(rig: Rig) -> None:
    last, gone = now(rig.workers[0].local.figures()), Gone()
    for worker in range(5):
        gone.add(replace(last, refused={f"NAME{worker}{number}": 1 for number in range(60)}), clients=0)
    assert len(gone.refused) == MAX_NAMES + 1 and gone.refused.total() == 300


def test_clients_on_their_way_to_a_worker_count_until_it_tells_of_them() -> None:
    tally = Tally()
    tally.given = 5
    assert tally.now == 5
    tally.told(given=3, left=1)
    assert tally.now == 3
    tally.told(given=5, left=0)
    assert tally.now == 0


def test_limits_that_cost_the_server_are_divided_and_rounded_up(rig: Rig) -> None:
    settings = rig.settings(0)
    assert settings.worker_count == 3 and settings.uplink.max_pinned == 10000
    one = share_of(settings)
    assert one.uplink.max_pinned == 3334 and one.limits.max_clients == 10000
    assert one.uplink.address == settings.uplink.address
    assert files_of_one(settings).limits.max_clients == 3334
