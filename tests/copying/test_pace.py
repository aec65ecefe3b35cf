"""How fast a copy goes on beside the load: as fast as it can where nobody else is, in short steps where somebody is."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

from redisproxy.copying.pace import FIRST_QUIET_S, LOOK_S, MOST_REST, QUIET_S, QUIETS, Pace

STEP_S, TICK_S = 0.01, 0.001
SHORT_S = 0.0001
"""A step over the first places that takes so long makes all that follow larger."""
BACKGROUND_PER_S, LOAD_PER_S = 5.0, 200.0


class OldServer:
    """What a pace sees of the old server; C{others_per_s} is what others ask there."""

    def __init__(self, others_per_s: float = 0.0, tells: bool = True) -> None:
        self.clock = Clock()
        self.others_per_s, self.latency_s, self.tells = others_per_s, 0.0, tells
        self._own, self._others, self._at = 0, 0.0, 0.0
        self.pace = Pace(self._latency, self._commands, self.clock)
        self.wait_for(self.pace.begin())

    async def _latency(self) -> float:
        self._own += 1
        return self.latency_s

    async def _commands(self) -> int | None:
        now = self.clock.seconds()
        self._others, self._at = self._others + (now - self._at) * self.others_per_s, now
        self._own += 1
        return self._own + int(self._others) if self.tells else None

    def wait_for(self, work: Coroutine[Deferred[Any], Any, None]) -> float:
        """How long it took, in seconds."""
        began = self.clock.seconds()
        done: list[Any] = []
        ensureDeferred(work).addBoth(done.append)
        while not done:
            self.clock.advance(TICK_S)
        assert done == [None]
        return self.clock.seconds() - began

    def step(self, seconds: float = STEP_S) -> float:
        """The rest after a step."""
        return self.wait_for(self.pace.step_took(seconds))

    def look(self) -> None:
        self.clock.advance(LOOK_S)
        self.wait_for(self.pace.look())


@pytest.mark.parametrize("others_per_s", [0.0, BACKGROUND_PER_S])
def test_who_has_the_server_for_himself_hurries(others_per_s: float) -> None:
    """Proxies and replicas send a few commands a second to every server."""
    server = OldServer(others_per_s)
    assert server.pace.hurries and server.step() == 0
    for _ in range(QUIETS):
        server.look()
        assert server.pace.hurries and server.step() == 0


def test_clients_of_the_server_get_short_steps_with_rests_between_them() -> None:
    alone, used = OldServer(), OldServer(LOAD_PER_S)
    assert not used.pace.hurries and used.step() == pytest.approx(STEP_S, abs=2 * TICK_S)
    alone.step(SHORT_S)
    used.step(SHORT_S)
    assert used.pace.count < alone.pace.count / 4


def test_clients_that_come_later_are_seen_and_clients_that_go_as_well() -> None:
    server = OldServer()
    server.others_per_s = LOAD_PER_S * 10
    for _ in range(QUIETS):
        server.look()
    assert not server.pace.hurries
    server.others_per_s = 0
    for _ in range(QUIETS):
        server.look()
    assert server.pace.hurries


def test_a_server_that_does_not_tell_counts_as_used() -> None:
    assert not OldServer(tells=False).pace.hurries


def test_a_server_that_answers_late_gets_longer_and_longer_rests() -> None:
    server = OldServer(LOAD_PER_S)
    server.latency_s = 0.1
    for _ in range(10):
        server.look()
    assert server.step() == pytest.approx(STEP_S * MOST_REST, abs=2 * TICK_S)
    server.latency_s = 0.0
    for _ in range(10):
        server.look()
    assert server.step() == pytest.approx(STEP_S, abs=2 * TICK_S)


def test_a_look_is_due_now_and_then_and_takes_a_moment() -> None:
    server = OldServer()
    assert server.clock.seconds() == pytest.approx(FIRST_QUIET_S, abs=2 * TICK_S) and not server.pace.is_look_due
    server.clock.advance(LOOK_S * 1.1)
    assert server.pace.is_look_due and not server.pace.hurries
    assert server.wait_for(server.pace.look()) == pytest.approx(QUIET_S, abs=2 * TICK_S)
    assert not server.pace.is_look_due and server.pace.hurries
