"""Many clients that wait for a connection at the same time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from redisproxy.forwarding.waits import Waits
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.resp import encode_command as cmd
from redisproxy.uplink.wait_queue import WaitQueue
from tests.wire import Wire

KEY = (0, 2)


def lines(work: Callable[[], object], folder: str) -> int:
    """How many lines of the modules in this folder `work` has run: what it costs, however busy the machine is."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace if folder in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("command", [cmd("GET", "a"), cmd("WATCH", "a")])
@pytest.mark.parametrize("fails", [False, True])
def test_one_more_that_waits_costs_no_more_however_many_there_are(command: bytes, fails: bool) -> None:
    wire = Wire(max_clients=1000)
    wire.refuse_connections, wire.answer_login = fails, False
    clients = [wire.client() for _ in range(400)]
    costs = [lines(lambda one=one: one.arrive(command), "/uplink/") for one in clients]  # type: ignore[misc]
    assert max(costs[300:]) <= max(costs[80:100]) + 10


def test_who_can_do_without_is_refused_but_for_those_that_get_the_next_ones() -> None:
    clock = Clock()
    queue = WaitQueue(clock, 10, lambda: "no reason", Waits())
    requests = [queue.add(KEY, pinned=True, patient=number % 3 != 0) for number in range(9)]
    refused: list[int] = []

    def not_had(failure: Failure, number: int) -> None:
        failure.trap(UplinkUnavailable)
        refused.append(number)

    for number, each in enumerate(requests):
        each.answer.addCallbacks(lambda _: None, not_had, errbackArgs=(number,))
    queue.begin_serving(requests[6])
    queue.refuse_impatient(2, UplinkUnavailable("there are none"))
    assert refused == [3] and queue.pinned_count == 7
    queue.put_back(requests[6])
    queue.take(requests[0])
    queue.refuse_impatient(0, UplinkUnavailable("there are none"))
    assert refused == [3, 6] and queue.pinned_keys(0, 100) == [KEY] * 6
    clock.advance(10)
    assert refused == [3, 6, 1, 2, 4, 5, 7, 8] and not queue
