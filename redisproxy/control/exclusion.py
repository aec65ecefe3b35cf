"""One move at a time: a second one that comes meanwhile is refused, or waits its turn."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.control.errors import SHUTTING_DOWN, WrongState
from redisproxy.dataplane.interface import RELOAD, SWITCHOVER

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.control.results import Results


def _took_place(switchover: Answer | Failure) -> bool:
    return not isinstance(switchover, Failure) and switchover["report"]["result"] == "done"


@dataclass
class Turn:
    """Something that begins after what is running. @ivar waiting: fire when it is over, or will not begin."""

    begin: Callable[[], Deferred[Any]]
    waiting: list[Deferred[None]] = field(default_factory=list)

    def over(self, _: object = None) -> None:
        """It is."""
        for each in self.waiting:
            each.callback(None)


class Exclusion:
    """Runs reloads, failovers and switchovers.

    @param results: where it is noted what has failed.
    """

    log = Logger(namespace="redisproxy.control")

    def __init__(self, results: Results) -> None:
        self._results = results
        self._running: Deferred[Any] | None = None
        self._name, self._began = "", 0.0
        self._next: dict[str, Turn] = {}
        self._stopping = False
        self._still = ""

    @property
    def running(self) -> str:
        """The name of what runs; empty when nothing does."""
        return "" if self._running is None else self._name

    @property
    def ends(self) -> bool:
        """Whether what runs is to end. It has been cancelled then; who waits for a lost worker may not hear of it."""
        return self._stopping and self._name != self._still

    def run(self, name: str, work: Callable[[], Coroutine[Any, Any, Answer]]) -> Deferred[Answer]:
        """Run `work`; its answer fails with L{WrongState} at once while another one runs.

        @param name: what it is, in the words of an answer.
        """
        if self._stopping and name != self._still:
            return fail(WrongState(SHUTTING_DOWN))
        if self._running is not None:
            return fail(WrongState(f"{'an' if self._name[0] in 'aeiou' else 'a'} {self._name} is running already"))
        answer: Deferred[Answer] = Deferred()
        self._name, self._began = name, self._results.now()
        self._running = running = ensureDeferred(work())
        running.addErrback(self._results.failed, name)
        running.addBoth(self._ended, answer)
        return answer

    def run_next(self, name: str, begin: Callable[[], Deferred[Any]]) -> Deferred[None]:
        """Call `begin` now, or after what is running; then once, however often this is asked for by this name.

        @return: fires when what was begun has ended, or will not begin; it never fails.
        """
        if self._running is None:
            return begin().addBoth(lambda _: None)
        turn = self._next.setdefault(name, Turn(begin))
        turn.waiting.append(waiting := Deferred[None]())
        return waiting

    def _ended(self, result: Answer | Failure, answer: Deferred[Answer]) -> None:
        self._running = None
        self._results.ended(self._name, self._began, result)
        turns, self._next = self._next, {}
        if RELOAD in turns and self._name == SWITCHOVER and not _took_place(result):
            # The file names the new server then, and nobody is to go there.
            self.log.warn("the switchover did not take place: the SIGHUP that came meanwhile is not carried out")
            turns.pop(RELOAD).over()
        answer.callback(result)
        for name, turn in turns.items():
            self.run_next(name, turn.begin).addCallback(turn.over)

    async def stop(self, still: str = "") -> None:
        """End what is running, and begin nothing any more: a switchover is rolled back.

        @param still: the name of what may go on and begin all the same.
        """
        turns, self._next = self._next, {}
        self._stopping, self._still = True, still
        for turn in turns.values():
            turn.over()
        if self._running is not None and self._name != still:
            running, done = self._running, Deferred[None]()
            running.addBoth(lambda _: done.callback(None))
            running.cancel()
            await done
