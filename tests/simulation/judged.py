"""What runs of one proxy and of a fleet have in common: clock, network, transcript, and how a violation is told."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import provider

from tests.simulation.clients import Wire
from tests.simulation.clock import BEGIN_S, SimClock
from tests.simulation.history import History, Violation
from tests.simulation.network import Net
from tests.simulation.outcome import hash_of


class JudgedRun:
    """One run.

    @ivar faulty: whether things break; where nothing does, no client may see an error or lose its connection.
    @ivar violation: what is wrong; empty when nothing is. @ivar lines: the transcript, whose hash is `digest`.
    @ivar folder: where its files are.
    """

    def __init__(self, seed: int, chance: Random, faulty: float) -> None:
        self.seed = seed
        self.chance = chance
        self.clock = SimClock()
        self.net = Net(self.clock, chance)
        self.history = History()
        self.faulty = chance.random() < faulty
        self.ending = False
        self.lines: list[str] = []
        self.digest = 0
        self.violation = ""
        self.folder = tempfile.mkdtemp(prefix="redisproxy-sim-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.clock.seconds() - BEGIN_S

    def sleep(self, seconds: float) -> Deferred[None]:
        """Wait."""
        slept: Deferred[None] = Deferred()
        self.clock.at(seconds, slept.callback, None)
        return slept

    def note(self, who: str, what: str) -> None:
        """Add a line to the transcript."""
        line = f"{self.now:9.4f} {who:10} {what}"
        self.lines.append(line)
        self.digest = hash_of(line, self.digest)

    def fail(self, what: str) -> None:
        """Report that something is wrong.

        @raise Violation: always.
        """
        self.violation = self.violation or what
        raise Violation(what)

    def crashed(self, failure: Failure) -> None:
        """An errback for what must not fail."""
        self.violation = self.violation or failure.getTraceback()

    def judge_end(self, wire: Wire, stateful: bool, unanswered: bool) -> None:
        """A client was disconnected by what fails in this world, if anything does."""
        if not self.faulty:
            self.fail(f"{wire.name} was disconnected although nothing had failed")
        if not unanswered and not stateful:
            self.fail(f"{wire.name} was disconnected although it waited for nothing")

    def judge_error(self, wire: Wire, error: str) -> None:
        """A client has got an error that what fails in this world may explain."""

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While this is entered, an error in the log is a violation; then the files go."""

        @provider(ILogObserver)
        def observe(event: Any) -> None:
            failure = event.get("log_failure")
            if failure is not None:
                self.violation = self.violation or f"logged: {failure.getTraceback()}"

        globalLogPublisher.addObserver(observe)
        try:
            yield
        finally:
            globalLogPublisher.removeObserver(observe)
            self.net.descriptors.close()
            shutil.rmtree(self.folder)

    def judged(self, play: Callable[[], None], *around: AbstractContextManager[Any]) -> None:
        """Play to the end, within these; whatever is raised is a violation."""
        try:
            with ExitStack() as stack:
                for each in (self.watched(), *around):
                    stack.enter_context(each)
                play()
        except Violation as error:
            self.violation = self.violation or str(error)
        except Exception:
            self.violation = self.violation or Failure().getTraceback()

    def run_until(self, done: Callable[[], bool], until: float) -> None:
        """Let everything happen until `done`, or until so many seconds after the beginning.

        @raise Violation: something is wrong.
        """
        self.clock.run_until(BEGIN_S + until, lambda: bool(self.violation) or done())
        if self.violation:
            raise Violation(self.violation)
