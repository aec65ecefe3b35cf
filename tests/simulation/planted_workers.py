"""Bugs in how several workers are driven as one, and in how clients go from one to another; see L{planted}.

Only runs with workers find them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater

from redisproxy.client.session_value import ClientValue
from redisproxy.dataplane.adoption import Adoption
from redisproxy.dataplane.handover import Handover
from redisproxy.dataplane.interface import HandoverRefused
from redisproxy.net.detached import DetachedSocket
from redisproxy.remote.peer import RemoteTarget
from redisproxy.serving.leaving import Leaving
from redisproxy.workers.all_clients import AllClients
from redisproxy.workers.all_gates import AllGates
from redisproxy.workers.driven import Driven
from redisproxy.workers.members import Members
from redisproxy.workers.process import Beginning
from redisproxy.workers.telling_scripts import TellingScripts
from redisproxy.workers.worker import Worker

if TYPE_CHECKING:
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.workers.members import Member

Patches = Iterator[Any]

TOLD_LATER_S = 0.3


def _lost_and_alive() -> Patches:
    """A worker that is lost is not ended before the others go on without it."""
    yield patch.object(Worker, "end", lambda self, why: self._members.forget(self))


def _swap_not_awaited() -> Patches:
    """The others go on before all workers have gone to the new server."""

    async def each_or_lose(self: Members, order: Callable[[DataPlane], Deferred[Any]], limit_s: float) -> list[Any]:
        for member, work in [self._in_time(member, order, limit_s) for member in self.in_use]:
            work.addErrback(self._failed, member)
        return []

    yield patch.object(Members, "each_or_lose", each_or_lose)


def _released_one_by_one() -> Patches:
    """Each worker goes on as soon as it has gone to the new server itself."""
    original = Members.each_or_lose

    async def each_or_lose(self: Members, order: Callable[[DataPlane], Deferred[Any]], limit_s: float) -> list[Any]:
        def swap_and_release(plane: DataPlane) -> Deferred[Any]:
            swapping = order(plane)
            for reason in self.reasons:
                plane.gate.release(reason).addErrback(lambda _: None)
            return swapping

        return await original(self, swap_and_release, limit_s)

    yield patch.object(Members, "each_or_lose", each_or_lose)


def _old_settings_for_the_new_one() -> Patches:
    """A replacement joins with the settings that it was started with, whatever is in force by then."""
    original = Members._use

    def use(self: Members, member: Member) -> None:
        member.settings = self.settings
        original(self, member)

    yield patch.object(Members, "_use", use)


def _joined_in_a_move() -> Patches:
    """A replacement joins at once, also in the middle of a move, of which it knows nothing."""

    def let_join(self: Members) -> None:
        joining, self._joining = self._joining, []
        for member in joining:
            self._use(member)

    yield patch.object(Members, "let_join", let_join)


def _open_in_a_pause() -> Patches:
    """A replacement that joins in the operator's pause does not hold its clients."""
    original = Members._use

    def use(self: Members, member: Member) -> None:
        reasons, self.reasons = self.reasons, set()
        original(self, member)
        self.reasons = reasons

    yield patch.object(Members, "_use", use)


def _one_is_not_held() -> Patches:
    """The last worker is forgotten when all are to hold their clients."""
    original = AllGates._hold

    async def hold(self: AllGates, reason: str) -> Any:
        in_use = Members.in_use.fget(self._members)  # type: ignore[attr-defined]
        with patch.object(Members, "in_use", in_use[:-1] or in_use):
            holding = Deferred.fromCoroutine(original(self, reason))
        return await holding

    yield patch.object(AllGates, "_hold", hold)


def _drained_by_one() -> Patches:
    """What is in flight of the first worker that has drained counts for all."""

    async def drained(self: AllGates) -> None:
        first: Any = DeferredList(
            [each.plane.gate.drained().addErrback(lambda _: None) for each in self._members.in_use],
            fireOnOneCallback=True,
        )
        await first

    yield patch.object(AllGates, "_drained", drained)


def _one_is_never_released() -> Patches:
    """The first worker is not told that a pause is over, if there are others."""
    original = AllGates._release

    async def release(self: AllGates, reason: str) -> Any:
        in_use = Members.in_use.fget(self._members)  # type: ignore[attr-defined]
        with patch.object(Members, "in_use", in_use[1:] or in_use):
            releasing = Deferred.fromCoroutine(original(self, reason))
        return await releasing

    yield patch.object(AllGates, "_release", release)


def _list_in_parts() -> Patches:
    """CLIENT LIST says who is at those workers that have answered."""
    yield patch.object(AllClients, "_all_answered", lambda self, answers, away: None)


def _ids_from_the_beginning() -> Patches:
    """A replacement gives ids that the one before has given."""
    original: Any = Beginning.__init__

    def init(self: Beginning, *arguments: Any) -> None:
        original(self, *arguments[:4], 0, b"")

    yield patch.object(Beginning, "__init__", init)


def _resumed_on_both_sides() -> Patches:
    """A client of whom nobody knows whether the other side has taken it goes on here."""
    original = Handover._give

    async def give(self: Handover, leaving: Leaving) -> None:
        adopt = self._target.adopt

        async def adopted(state: bytes, fd: int) -> None:
            try:
                await adopt(state, fd)
            except HandoverRefused:
                raise
            except Exception as error:
                raise HandoverRefused(str(error)) from error

        with patch.object(self._target, "adopt", adopted):
            giving = Deferred.fromCoroutine(original(self, leaving))
        await giving

    yield patch.object(Handover, "_give", give)


def _adopted_twice() -> Patches:
    """The order to take a client is given again when its answer was lost, to whom it may have reached."""
    original = Adoption.adopt

    async def adopt(self: Adoption, state: bytes, fd: int) -> None:
        again = os.dup(fd)
        await original(self, state, fd)
        try:
            await original(self, state, again)
        except HandoverRefused:
            self._network.adopt(DetachedSocket(again), lambda: None)

    yield patch.object(Adoption, "adopt", adopt)


def _expected_for_ever() -> Patches:
    """What was made for a client that does not come is kept."""

    def abandon(self: RemoteTarget, client_id: int) -> None:
        pass

    yield patch.object(RemoteTarget, "abandon", abandon)


def _unread_lost() -> Patches:
    """What a client has sent and nobody has taken does not go along."""
    yield _changed(unread=b"")


def _unsent_lost() -> Patches:
    """Replies that the kernel has not taken do not go along."""
    yield _changed(unsent=b"")


def _changed(**fields: Any) -> Any:
    original = Leaving.take_socket

    def take_socket(self: Leaving) -> tuple[ClientValue, DetachedSocket]:
        value, socket = original(self)
        return value.model_copy(update=fields), socket

    return patch.object(Leaving, "take_socket", take_socket)


def _replies_outstanding() -> Patches:
    """A client goes while replies to it are outstanding."""
    original = Leaving.hold

    def hold(self: Leaving) -> str:
        why = original(self)
        return "" if why == "it waits for replies" else why

    yield patch.object(Leaving, "hold", hold)


def _watch_not_proven() -> Patches:
    """A WATCH goes along without a proof that nothing was changed meanwhile."""

    async def prove(self: Handover, leaving: Leaving) -> None:
        pass

    yield patch.object(Handover, "_prove", prove)


def _scripts_untold() -> Patches:
    """Scripts are known to the worker that has seen them, and to nobody else."""
    yield patch.object(TellingScripts, "_go_on", lambda self: None)


def _scripts_told_later() -> Patches:
    """Scripts are told when others are told anyhow, some time after their clients had an answer."""
    original = Driven._tell_scripts

    def tell_scripts(self: Driven, shared: bytes) -> Deferred[Any]:
        return deferLater(self._reactor, TOLD_LATER_S, original, self, shared)

    yield patch.object(Driven, "_tell_scripts", tell_scripts)


WORKERS: dict[str, Callable[[], Patches]] = {
    "lost-and-alive": _lost_and_alive,
    "swap-not-awaited": _swap_not_awaited,
    "released-one-by-one": _released_one_by_one,
    "old-settings-for-the-new-one": _old_settings_for_the_new_one,
    "joined-in-a-move": _joined_in_a_move,
    "open-in-a-pause": _open_in_a_pause,
    "one-is-not-held": _one_is_not_held,
    "drained-by-one": _drained_by_one,
    "one-is-never-released": _one_is_never_released,
    "list-in-parts": _list_in_parts,
    "scripts-untold": _scripts_untold,
    "scripts-told-later": _scripts_told_later,
    "ids-from-the-beginning": _ids_from_the_beginning,
}
HANDOVERS: dict[str, Callable[[], Patches]] = {
    "resumed-on-both-sides": _resumed_on_both_sides,
    "adopted-twice": _adopted_twice,
    "unread-lost": _unread_lost,
    "unsent-lost": _unsent_lost,
    "replies-outstanding": _replies_outstanding,
    "watch-not-proven": _watch_not_proven,
}
