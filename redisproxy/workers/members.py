"""The data planes in use, what they have been told, and how an order is given to all of them.

Most are workers; one may be in this process, and others in processes that are to end. A worker that is lost costs its
own clients only. It is ended for certain before anything goes on without it, so that nothing is left in doubt, and the
one that replaces it joins when no move is under way, with the settings in force.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar
from weakref import WeakSet

from twisted.internet.defer import CancelledError, Deferred, DeferredList, TimeoutError, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from redisproxy.dataplane.interface import OPERATOR, DataPlaneLost
from redisproxy.workers.known_scripts import KnownScripts

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.dataplane.interface import DataPlane

T = TypeVar("T")

NOTING_S = 10.0
NONE_LEFT = "no worker is running; the log says why"


class Member(Protocol):
    """One data plane.

    @ivar number: of the worker, from 1 on; the one that replaces a worker has its number. 0: of no worker.
    @ivar serving: it gets new clients. One that does not is I{lingering}: it ends when its last client has gone.
    @ivar settings: those that it was started with, or was found with.
    """

    number: int
    serving: bool
    settings: Settings

    @property
    def label(self) -> str:
        """What it is called in messages."""

    @property
    def plane(self) -> DataPlane:
        """Where orders go."""

    @property
    def door(self) -> str:
        """The Unix socket at which it takes clients of others in."""

    @property
    def load(self) -> int:
        """How many clients it has, with those on their way to it."""

    def learn(self, shared: bytes) -> Deferred[None]:
        """Know the scripts that clients of another one share, see C{dataplane.shared_value}."""

    def end(self, why: str) -> None:
        """End the process at once; its clients are disconnected."""

    def failed(self, why: str) -> None:
        """It has not carried an order out: end it, unless it is known to have gone on by itself."""


class Members:
    """The data planes in use.

    @ivar settings: those in force. @ivar prepared: those of a prepared move.
    @ivar reasons: for which clients are held.
    @ivar unpaused: the operator's pause was taken back here: what others know of one is of before.
    @ivar noting: they note what clients change silently. @ivar lost_while_noting: one has gone with its notes.
    @ivar scripts: those that all know. @ivar changed: called when one comes or goes.
    @ivar away: those that go on by themselves with their clients, until they are in use again or have ended.
    @ivar moved_without: those that were lost in a move, which may be over when the loss of their links is told.
    """

    def __init__(self, settings: Settings, clock: IReactorTime) -> None:
        self.settings = settings
        self.prepared: Settings | None = None
        self.reasons: set[str] = set()
        self.unpaused = False
        self.noting = self.lost_while_noting = False
        self.changed: Callable[[], None] = lambda: None
        self.scripts = KnownScripts(lambda: self._in_use, lambda: self.settings.limits.max_script_bytes)
        self._clock = clock
        self._in_use: list[Member] = []
        self.away: list[Member] = []
        self._used: WeakSet[Member] = WeakSet()
        self._joining: list[Member] = []
        self._waiting: list[Deferred[None]] = []
        self._until_back: list[Deferred[None]] = []
        self.moved_without: WeakSet[Member] = WeakSet()

    @property
    def in_use(self) -> list[Member]:
        """All that carry commands: those that serve by their numbers, then those that linger."""
        return sorted(self._in_use, key=lambda member: (not member.serving, member.number))

    @property
    def serving(self) -> list[Member]:
        """Those that get new clients, by their numbers."""
        return [member for member in self.in_use if member.serving]

    @property
    def moving(self) -> bool:
        """Whether a move is under way."""
        return self.prepared is not None or not self.reasons <= {OPERATOR}

    def __contains__(self, member: object) -> bool:
        return member in self._in_use

    def first(self) -> Deferred[None]:
        """Fire when there is a worker, at once if there is. Can be cancelled."""
        if self._in_use:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    def has_used(self, member: Member) -> bool:
        """Whether this worker has ever been in use, so that it may have clients."""
        return member in self._used

    # -- coming and going

    def join(self, member: Member) -> None:
        """Use this worker from now on, or as soon as no move is under way."""
        self._joining.append(member)
        self.let_join()

    def let_join(self) -> None:
        """A move may have ended: use those that wait for that; who has clients is held with the others before that."""
        for member in self._joining.copy():
            if member in self._joining and (not self.moving or (self.has_used(member) and not self.prepared)):
                self._joining.remove(member)
                self._use(member)

    def _use(self, member: Member) -> None:
        if why := _unfit(member, self.settings):
            member.end(why)
            return
        again = self.has_used(member)
        self._in_use.append(member)
        self._used.add(member)
        self.moved_without.discard(member)
        if again and not self.reasons:
            # The operator's pause may be over, which it has outlasted while nobody drove it.
            member.plane.gate.release(OPERATOR).addErrback(self._failed, member)
        for reason in self.reasons:
            # Whatever it is told later finds it held: orders take effect in their sequence.
            member.plane.gate.hold(reason).addErrback(self._failed, member)
        self.scripts.teach(member)
        if self.noting:
            # Before it has a client, so that there is nothing to wait for.
            member.plane.notes.begin(NOTING_S).addErrback(self._failed, member)
        self._back(member)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)
        self.changed()

    def _failed(self, failure: Failure, member: Member) -> None:
        self.lose(member, failure.getErrorMessage())

    def lose(self, member: Member, why: str) -> None:
        """Go on without this worker."""
        if self.moving:
            self.moved_without.add(member)
        self.forget(member)
        member.failed(why)

    def forget(self, member: Member) -> None:
        """This worker is gone."""
        self._back(member)
        if member in self._joining:
            self._joining.remove(member)
        if member in self._in_use:
            self._in_use.remove(member)
            self.lost_while_noting = True
            self.changed()

    def goes_on(self, member: Member) -> None:
        """This worker can't be given orders for a moment, and may have clients."""
        self.forget(member)
        if self.has_used(member):
            self.away.append(member)

    def _back(self, member: Member) -> None:
        if member in self.away:
            self.away.remove(member)
            waiting, self._until_back = ([], self._until_back) if self.away else (self._until_back, [])
            for each in waiting:
                each.callback(None)

    async def all_back(self, limit_s: float) -> None:
        """Wait for those that go on by themselves, and end who is not back in time: clients of theirs would go on at
        the server that all others leave."""
        if not self.away:
            return
        back: Deferred[None] = Deferred(self._until_back.remove)
        self._until_back.append(back)
        try:
            await back.addTimeout(limit_s, self._clock)
        except TimeoutError:
            for member in self.away.copy():
                member.end(f"it was not back within {limit_s:g} s, and the others go to another server")

    # -- orders

    async def each(
        self,
        order: Callable[[DataPlane], Deferred[T]],
        cut_short: bool = False,
    ) -> list[T]:
        """Give an order to all, and wait for all; the answers of those that are not lost.

        @param cut_short: cancel the others when one fails.
        @raise DataPlaneLost: all are lost. Any other failure of one is raised when all have come to their end.
        """
        answers: list[T] = []
        failures: list[Failure] = []
        works: list[Deferred[None]] = []

        def failed(failure: Failure, member: Member) -> None:
            if failure.check(DataPlaneLost):
                self.lose(member, failure.getErrorMessage())
                return
            failures.append(failure)
            for work in works if cut_short and len(failures) == 1 else ():
                work.cancel()

        for member in self.in_use:
            works.append(order(member.plane).addCallback(answers.append).addErrback(failed, member))
        await DeferredList(works)
        if failures:
            failures[0].raiseException()
        if not answers:
            raise DataPlaneLost(NONE_LEFT)
        return answers

    async def each_or_lose(self, order: Callable[[DataPlane], Deferred[T]], limit_s: float) -> list[T]:
        """Give an order to all, and go on without those that do not carry it out within `limit_s` seconds."""
        answers: list[T] = []
        works = [self._in_time(member, order, limit_s) for member in self.in_use]
        for member, work in works:
            work.addCallback(answers.append).addErrback(self._failed, member)
        await DeferredList([work for _, work in works])
        return answers

    async def each_in_time(
        self, order: Callable[[DataPlane], Deferred[T]], limit_s: float
    ) -> list[tuple[Member, T | None]]:
        """Ask all, and wait for `limit_s` seconds at the most; None for those that have not answered."""
        works = [self._in_time(member, order, limit_s) for member in self.in_use]
        answers = await DeferredList([work.addErrback(_no_answer) for _, work in works])
        return [(member, answer) for (member, _), (_, answer) in zip(works, answers, strict=True)]

    def _in_time(
        self, member: Member, order: Callable[[DataPlane], Deferred[T]], limit_s: float
    ) -> tuple[Member, Deferred[T]]:
        return member, order(member.plane).addTimeout(limit_s, self._clock)


def _no_answer(failure: Failure) -> None:
    failure.trap(DataPlaneLost, TimeoutError, CancelledError)


def _unfit(member: Member, settings: Settings) -> str:
    if member.serving and not same(member.settings, settings):
        return "it has begun with settings that are not in force any more"
    there = member.settings.uplink.address
    return "" if there == settings.uplink.address else f"it was left at {there}"


def same(one: Settings, other: Settings) -> bool:
    """Whether these are the same, also in where the sentinels have found the server."""
    return one == other and one.uplink.address == other.uplink.address
