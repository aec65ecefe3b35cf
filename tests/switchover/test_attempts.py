"""What cannot be undone is told attempt by attempt, in words."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

from redisproxy.net.errors import UplinkUnavailable
from redisproxy.switchover.attempts import RETRY_DELAYS_S, Undo, attempt
from tests.logged import logged

pytestmark = pytest.mark.one_twin


def told_by(undo: Undo, until: float | None = None) -> list[str]:
    """What the log has after all attempts have failed."""
    clock = Clock()
    with logged() as told:
        done: Deferred[bool] = ensureDeferred(attempt(undo, RETRY_DELAYS_S, clock, until))
        clock.pump([0.1] * 30)
    assert done.result is False
    return [text for _, text in told if "rolling back" in text]


def test_a_server_that_does_not_answer_is_told_with_the_time_that_it_had() -> None:
    assert told_by(lambda number: Deferred(), until=1.0) == [
        "switchover: rolling back, attempt 1 of 3: the old server has not answered within 1.0 s",
        "switchover: rolling back, attempt 2 of 3: no time is left to hold clients",
        "switchover: rolling back, attempt 3 of 3: no time is left to hold clients",
    ]


def test_a_server_that_refuses_is_told_with_its_words() -> None:
    async def refused(number: int) -> None:
        raise UplinkUnavailable(f"the new server (a:1): no {number}")

    assert told_by(refused)[1:] == [
        "switchover: rolling back, attempt 2 of 3: the new server (a:1): no 1",
        "switchover: rolling back, attempt 3 of 3: the new server (a:1): no 2",
    ]
