"""What is told to whoever traces moves: each move that ends, however, with its steps; and pauses."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from redisproxy.control.answers import Answer
from redisproxy.control.errors import WrongState
from redisproxy.control.exclusion import Exclusion
from redisproxy.control.results import Results
from redisproxy.figures.metrics import OperationFigures
from redisproxy.figures.spans import Span

pytestmark = pytest.mark.one_twin
REPORT = {
    "from": "a:1", "to": "b:1", "result": "done", "reason": "", "pause_ms": 12.5, "held": 3, "dropped": [],
    "steps": [{"name": "preflight", "ms": 250}, {"name": "drain", "ms": 1.5}],
}  # fmt: skip
TOLD: dict[str, str | int | float] = {
    "from": "a:1", "to": "b:1", "result": "done", "reason": "", "pause_ms": 12.5, "held": 3,
}  # fmt: skip
STEPS = (("preflight", 0.25), ("drain", 0.0015))


class Rig:
    def __init__(self) -> None:
        self.clock, self.spans = Clock(), list[Span]()
        metrics = OperationFigures()
        metrics.on_span = self.spans.append
        self.exclusion = Exclusion(Results(metrics, self.clock))

    def run(self, end: Answer | Exception, seconds: float) -> None:
        """Run a move that ends like this after so long."""
        ending: Deferred[Answer] = Deferred()

        async def work() -> Answer:
            return await ending

        self.exclusion.run("switchover", work).addErrback(lambda failure: None)
        self.clock.advance(seconds)
        ending.errback(end) if isinstance(end, Exception) else ending.callback(end)


def test_a_move_is_told_with_its_steps_when_it_has_ended() -> None:
    rig = Rig()
    rig.run({"state": "running", "report": REPORT}, 2.5)
    assert rig.spans == [Span("switchover", 2.5, "", {"state": "running", **TOLD}, STEPS)]


def test_so_is_one_that_has_failed_with_why() -> None:
    rig = Rig()
    rig.run(WrongState("the new server is full", report=REPORT), 1.0)
    rig.run(WrongState("no"), 0.0)
    assert rig.spans == [
        Span("switchover", 1.0, "the new server is full", TOLD, STEPS),
        Span("switchover", 0.0, "no"),
    ]


def test_a_pause_is_told_with_its_length() -> None:
    spans: list[Span] = []
    metrics = OperationFigures()
    metrics.on_span = spans.append
    metrics.observe_pause(0.25)
    assert spans == [Span("pause", 0.25)]
