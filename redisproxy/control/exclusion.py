"""One move at a time: a second one that comes meanwhile is refused, or waits its turn."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.control.errors import SHUTTING_DOWN, WrongState
from redisproxy.dataplane.interface import SWITCHOVER

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.control.results import Results


def _took_place(switchover: Answer | Failure) -> bool:
    return not isinstance(switchover, Failure) and switchover["report"]["result"] == "done"


class Exclusion:
    """Runs reloads, failovers and switchovers.

    @param results: where it is noted what has failed.
    """

    log = Logger(namespace="redisproxy.control")

    def __init__(self, results: Results) -> None:
        self._results = results
        self._running: Deferred[Any] | None = None
        self._name, self._began = "", 0.0
        self._next: Callable[[], Deferred[Any]] | None = None
        self._waiting: list[Deferred[None]] = []
        self._stopping = False
        self._still = ""

    @property
    def running(self) -> str:
        """The name of what runs; empty when nothing does."""
        return "" if self._running is None else self._name

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

    def run_next(self, begin: Callable[[], Deferred[Any]]) -> Deferred[None]:
        """Call `begin` now, or, however often this is asked for, once after what is running.

        Not after a switchover that did not take place: the file names the new server then, and nobody is to go there.

        @return: fires when what was begun has ended, or will not begin; it never fails.
        """
        if self._running is None:
            return begin().addBoth(lambda _: None)
        self._next = begin
        self._waiting.append(waiting := Deferred[None]())
        return waiting

    def _ended(self, result: Answer | Failure, answer: Deferred[Answer]) -> None:
        self._running = None
        self._results.ended(self._name, self._began, result)
        begin, self._next = self._next, None
        waiting, self._waiting = self._waiting, []
        if begin is not None and self._name == SWITCHOVER and not _took_place(result):
            self.log.warn("the switchover did not take place: the SIGHUP that came meanwhile is not carried out")
            begin = None
        answer.callback(result)
        over = succeed(None) if begin is None else self.run_next(begin)
        for each in waiting:
            over.chainDeferred(each)

    async def stop(self, still: str = "") -> None:
        """End what is running, and begin nothing any more: a switchover is rolled back.

        @param still: the name of what may go on and begin all the same.
        """
        self._next, self._stopping, self._still = None, True, still
        if self._running is not None and self._name != still:
            running, done = self._running, Deferred[None]()
            running.addBoth(lambda _: done.callback(None))
            running.cancel()
            await done
