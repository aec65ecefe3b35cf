"""What an operator asks for goes to the process in charge, and fails when that is killed, like a request over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail

from redisproxy.control.errors import Unavailable
from tests.simulation.processes import Process


class Killed(Unavailable):
    """The process that was asked is gone; what it was asked to do it may have done."""


class NobodyThere(Killed):
    """Nobody was asked."""


class Requests:
    """Has the interface of C{control.operations.Operations}.

    @param in_charge: the process that answers, with its operations; None while nobody does.
    """

    def __init__(self, in_charge: Callable[[], tuple[Process, Any] | None]) -> None:
        self._in_charge = in_charge
        self._open: dict[Deferred[Any], Process] = {}

    def __getattr__(self, name: str) -> Callable[..., Deferred[Any]]:
        return lambda *arguments, **named: self._ask(name, *arguments, **named)

    def _ask(self, name: str, *arguments: Any, **named: Any) -> Deferred[Any]:
        found = self._in_charge()
        if found is None:
            return fail(NobodyThere("nobody answers"))
        process, operations = found
        work: Deferred[Any] = getattr(operations, name)(*arguments, **named)
        answer: Deferred[Any] = Deferred(lambda _: work.cancel())
        self._open[answer] = process
        work.addBoth(self._answered, answer)
        return answer

    def _answered(self, result: Any, answer: Deferred[Any]) -> None:
        if self._open.pop(answer, None) is not None:
            answer.callback(result)

    def break_off(self, ended: Process) -> None:
        """This process has ended: whoever waits for its answer hears that."""
        for answer in [answer for answer, process in self._open.items() if process is ended]:
            ended.machine.clock.graves.append(answer)
            del self._open[answer]
            answer.errback(Killed("the process has ended before it has answered"))
