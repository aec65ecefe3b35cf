"""Upgrade: the program as it is on disk now takes the place of this process, and no client notices.

Up to the last step, in which the new process takes charge, everything stays or goes back where it was when something
fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.control.errors import OperationError, WrongState
from redisproxy.control.succession import Attempt, Predecessor, SuccessorFailed

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.control.configuration import Configuration
    from redisproxy.control.exclusion import Exclusion
    from redisproxy.control.results import Results
    from redisproxy.dataplane.interface import DataPlane

UPGRADE = "upgrade"
TAKE_OVER = "take-over"


class UpgradeFailed(OperationError):
    """The upgrade did not take place."""

    status = 502


class Upgrade:
    """The operation."""

    log = Logger(namespace="redisproxy.upgrade")

    def __init__(
        self,
        dataplane: DataPlane,
        configuration: Configuration,
        exclusion: Exclusion,
        results: Results,
        clock: IReactorTime,
    ) -> None:
        self._dataplane = dataplane
        self._configuration = configuration
        self._exclusion = exclusion
        self._results = results
        self._clock = clock
        self._predecessor: Predecessor | None = None
        self._attempt: Attempt | None = None

    @property
    def step(self) -> str:
        """Of the upgrade that runs; empty when none does."""
        return "" if self._attempt is None else self._attempt.step

    def of(self, predecessor: Predecessor) -> None:
        """What can be upgraded. Without it every upgrade is refused."""
        self._predecessor = predecessor

    def settling(self, settled: Deferred[None]) -> None:
        """This process is in charge, perhaps again. Begin no move before `settled`: the one before may yet end this one
        and go on, and workers that another one has left are looked for."""
        self._exclusion.run_next(TAKE_OVER, lambda: self._exclusion.run(TAKE_OVER, lambda: _over(settled)))

    def upgrade(self) -> Deferred[Answer]:
        """Do it; refused while a move runs."""
        predecessor = self._predecessor
        if predecessor is None:
            return fail(WrongState("this process can't be upgraded: it has no command line that could be used again"))
        if predecessor.refused:
            return fail(WrongState(predecessor.refused))
        return self._exclusion.run(UPGRADE, lambda: self._upgrade(predecessor))

    def on_signal(self) -> Deferred[None]:
        """Do it for a SIGUSR2; one that comes while a move runs is carried out after it."""
        return self._exclusion.run_next(UPGRADE, lambda: self.upgrade().addErrback(self._not_done))

    def _not_done(self, failure: Failure) -> None:
        self.log.warn("the SIGUSR2 has had no effect: {error}", error=failure.getErrorMessage())

    async def _upgrade(self, predecessor: Predecessor) -> Answer:
        settings = self._configuration.settings
        terms = self._dataplane, self._results, settings, self._clock
        self._attempt = attempt = Attempt(predecessor, *terms, lambda: self._exclusion.ends)
        try:
            answer = await attempt.run()
        except SuccessorFailed as error:
            report = {"step": attempt.step, "lost": attempt.lost, "ms": attempt.ms}
            self._results.upgraded({"ok": False, "error": str(error), **report})
            raise UpgradeFailed(f"not upgraded, this process goes on: {error}", **report) from error
        finally:
            self._attempt = None
        self._results.upgraded({"ok": True, **answer})
        return answer


async def _over(settled: Deferred[None]) -> Answer:
    await settled
    return {}
