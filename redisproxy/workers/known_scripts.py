"""The scripts that clients of all data planes have sent: what one data plane learns, the others are told at once.

So a move loads them at the new server also when the data plane that has seen them is lost. Orders take effect in their
sequence: a data plane has learnt a script before it gets any order that comes after the one that was told of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import DeferredList

from redisproxy.dataplane import shared_value
from redisproxy.dataplane.interface import DataPlaneLost, NotSupported
from redisproxy.remote.errors import DataPlaneFailed
from redisproxy.shared.script_cache import ScriptCache

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.python.failure import Failure

AT_ONCE_BYTES = 1024 * 1024


class Learner(Protocol):
    """One data plane."""

    def learn(self, shared: bytes) -> Deferred[None]:
        """Know these scripts, see C{dataplane.shared_value}."""


class KnownScripts:
    """What this process knows of them.

    @param learners: gives the data planes in use. @param max_bytes: gives how much is kept.
    """

    def __init__(self, learners: Callable[[], Sequence[Learner]], max_bytes: Callable[[], int]) -> None:
        self._learners = learners
        self._max_bytes = max_bytes
        self._cache = ScriptCache(0)

    def heard(self, shared: bytes, of: object = None) -> Deferred[Any]:
        """Take in the scripts that the data plane `of` has told; fires when the others know them, or are lost.

        @raise InvalidState: it is nothing of the kind; see C{shared_value.take_in}.
        """
        self._cache.max_bytes = self._max_bytes()
        new = self._cache.learn(shared_value.scripts_of(shared))
        others = [each for each in self._learners() if each is not of] if new else ()
        return DeferredList([_give(each, shared_value.of_scripts(new)) for each in others])

    def teach(self, learner: Learner) -> None:
        """Have this one know all there are."""
        left = ScriptCache(self._cache.max_bytes)
        left.learn(self._cache.bodies)
        while len(left):
            _give(learner, shared_value.of_scripts(left.take(AT_ONCE_BYTES)))


def _give(learner: Learner, shared: bytes) -> Deferred[None]:
    return learner.learn(shared).addErrback(_not_learnt)


def _not_learnt(failure: Failure) -> None:
    """It is lost, or of an older program."""
    failure.trap(DataPlaneLost, DataPlaneFailed, NotSupported)
