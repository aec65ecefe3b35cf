"""Bugs in what becomes of data planes when their control process is killed, replaced or upgraded; see L{planted}.

Only runs with restarts of the control process, or with upgrades, find them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from twisted.internet.defer import succeed

from redisproxy.control.control import Control
from redisproxy.control.upgrade import Upgrade
from redisproxy.dataplane.interface import SWITCHOVER
from redisproxy.upgrade.carriers import Alone, Several
from redisproxy.upgrade.giving_way import GivingWay
from redisproxy.upgrade.successor import RemoteSuccessor
from redisproxy.upgrade.taking_over import TakingOver
from redisproxy.workers import finding
from redisproxy.workers.finding import Finding
from redisproxy.workers.lingering import Lingering
from redisproxy.workers.links import Links
from redisproxy.workers.members import Members
from redisproxy.workers.supervisor import Supervisor

if TYPE_CHECKING:
    from redisproxy.remote.order import Order
    from redisproxy.remote.order_server import Handler
    from redisproxy.workers.orders import Introduction
    from redisproxy.workers.worker import Worker

Patches = Iterator[Any]


# -- another number of workers


def _ended_with_its_clients() -> Patches:
    """A worker that is not needed any more is told to end while its clients are there, or on their way."""

    async def left(self: Lingering, worker: Worker) -> int:
        return 0

    yield patch.object(Lingering, "_left", left)


def _never_fewer() -> Patches:
    """Workers that are too many go on serving."""
    yield patch.object(Supervisor, "_part", lambda self, worker: None)


# -- the control process is started again


def _released_by_the_next() -> Patches:
    """A control process that finds workers in a switchover has them go on where they are, whatever the servers say."""
    original = Links.make

    async def make(self: Links, answers: Mapping[type[Order], Handler], *more: Any) -> Introduction:
        use = self.plane.use

        async def take_over(link: Any) -> Any:
            standing = await use(link, True)
            await self.plane.move.abandon()
            await self.plane.gate.release(SWITCHOVER)
            return standing

        with patch.object(self.plane, "use", take_over):
            making = original(self, answers, *more)
            return await making

    yield patch.object(Links, "make", make)


def _file_leads_away() -> Patches:
    """A control process that finds workers takes the file, with whatever server it names."""

    def taken(self: Finding, found: list[Any]) -> bool:
        return any(each != self._settings for each in found)

    yield patch.object(Finding, "_file_is_to_be_taken", taken)


def _moves_before_all_are_found() -> Patches:
    """Moves may begin while the workers are looked for."""

    async def start(self: Control) -> dict[str, Any]:
        self._dataplane.start().addErrback(self._failed)
        return {}

    yield patch.object(Control, "_start_data_plane", start)


def _pause_forgotten() -> Patches:
    """A control process that finds workers in an operator's pause does not hold the clients of new ones."""
    original = Finding._drive

    async def drive(self: Finding, worker: Worker) -> tuple[Worker, Introduction]:
        found, introduction = await original(self, worker)
        return found, replace(introduction, pausing=False)

    yield patch.object(Finding, "_drive", drive)


def _looked_at_once() -> Patches:
    """A worker that has ended while others were looked for counts as found."""

    def ended(self: Finding, worker: Worker, how: str) -> None:
        self._crew.ended(worker, how)

    yield patch.object(Finding, "_has_ended", ended)


# -- upgrades


def _not_killed() -> Patches:
    """A new process that has not said that it is in charge is left alone."""

    async def give_up(self: RemoteSuccessor, here: Any) -> bool:
        self._link.abort()
        return True

    yield patch.object(RemoteSuccessor, "give_up", give_up)


def _nothing_handed_back() -> Patches:
    """A new process that was given up ends with the clients that it has."""

    async def hand_back(self: TakingOver) -> int:
        return 0

    yield patch.object(TakingOver, "_hand_back", hand_back)


def _closed_for_ever() -> Patches:
    """After an upgrade that has failed the old process accepts nobody."""
    yield patch.object(GivingWay, "open_again", lambda self: None)


def _rest_dropped() -> Patches:
    """The old process ends with the clients that could not go."""
    yield patch.object(Alone, "let_go", lambda self: succeed(None))


def _its_workers_left_alone() -> Patches:
    """After an upgrade that has failed nobody looks after the workers of the new process, and those it has taken."""

    async def undone(self: Any, pid: int) -> None:
        pass

    yield patch.object(Several, "undone", undone)
    yield patch.object(Alone, "undone", undone)


def _newcomers_stay() -> Patches:
    """A worker that was to join after the move in which the control process was killed stays at the server before."""

    async def without_newcomers(found: Any) -> Any:
        return found

    yield patch.object(finding, "without_newcomers", without_newcomers)


def _cuts_itself_off() -> Patches:
    """A control process that ends while it looks for workers looks again, and keeps the links that it has made."""
    yield patch.object(Finding, "_let_go", lambda self, workers: None)


def _held_by_a_pause_that_is_over() -> Patches:
    """A worker that nobody drove when the operator's pause ended is driven again, and holds its clients."""
    original = Members._use

    def use(self: Members, member: Any) -> None:
        with patch.object(member.plane.gate, "release", lambda reason: succeed(None)):
            original(self, member)

    yield patch.object(Members, "_use", use)


def _moves_before_it_is_settled() -> Patches:
    """A new process switches over while the one before, which stands still, may yet end it and go on."""
    yield patch.object(Upgrade, "settling", lambda self, settled: None)


RESIZES: dict[str, Callable[[], Patches]] = {
    "ended-with-its-clients": _ended_with_its_clients,
    "never-fewer": _never_fewer,
    "held-by-a-pause-that-is-over": _held_by_a_pause_that_is_over,
}
RESTARTS: dict[str, Callable[[], Patches]] = {
    "released-by-the-next": _released_by_the_next,
    "file-leads-away": _file_leads_away,
    "moves-before-all-are-found": _moves_before_all_are_found,
    "pause-forgotten": _pause_forgotten,
    "looked-at-once": _looked_at_once,
    "newcomers-stay": _newcomers_stay,
    "cuts-itself-off": _cuts_itself_off,
}
UPGRADES: dict[str, Callable[[], Patches]] = {
    "not-killed": _not_killed,
    "nothing-handed-back": _nothing_handed_back,
    "closed-for-ever": _closed_for_ever,
    "rest-dropped": _rest_dropped,
    "its-workers-left-alone": _its_workers_left_alone,
    "moves-before-it-is-settled": _moves_before_it_is_settled,
}
