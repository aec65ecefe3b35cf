"""What operators are answered to a switchover or a failover: its report and the state of the gate, or why it failed."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import CancelledError, Deferred

from redisproxy.control.answers import Answer, gate_answer
from redisproxy.control.errors import SHUTTING_DOWN, BadRequest, DeadlineExceeded, WrongState
from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.switchover.failure import SwitchoverFailed

if TYPE_CHECKING:
    from redisproxy.control.abort import Abort
    from redisproxy.dataplane.interface import DataPlane


class Move(Protocol):
    """A switchover, or a failover."""

    @property
    def report(self) -> Answer:
        """What has happened so far, and in the end."""

    def run(self) -> Coroutine[Deferred[Any], Any, Any]:
        """Carry it out."""


async def carry_out(move: Move, abort: Abort) -> None:
    """Run it.

    @param abort: tells whether an operator has aborted it.
    @raise OperationError: it was refused, undone or aborted; its details have the report.
    """
    try:
        await move.run()
    except SwitchoverFailed as error:
        kind = BadRequest if error.refused else DeadlineExceeded if error.late else WrongState
        raise kind(move.report["error"], report=move.report) from error
    except CancelledError as error:
        why = "" if abort.ordered else f"{SHUTTING_DOWN}: "
        raise WrongState(f"{why}{move.report['error']}", report=move.report) from error


async def answer_to(move: Move, dataplane: DataPlane) -> Answer:
    """The answer to one that is done; of the gate it says nothing when the data plane is lost, which undoes nothing."""
    try:
        gate = gate_answer(await dataplane.gate.state())
    except DataPlaneLost:
        gate = {}
    return {**gate, "report": move.report}
