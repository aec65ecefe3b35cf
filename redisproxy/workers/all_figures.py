"""The figures of all workers as one, with those of workers that are gone, so that no counter ever goes down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from redisproxy.dataplane.interface import DataPlaneLost, Figures, UplinkStatus, WorkerFigures
from redisproxy.workers.all_clients import ANSWER_S
from redisproxy.workers.all_gates import status_of
from redisproxy.workers.members import NONE_LEFT

if TYPE_CHECKING:
    from redisproxy.workers.crew import Crew
    from redisproxy.workers.gone import Gone
    from redisproxy.workers.members import Members
    from redisproxy.workers.supervisor import Supervisor
    from redisproxy.workers.worker import Worker


def together(each: Sequence[Figures], gone: Gone) -> Figures:
    """All figures as one."""
    first = each[0]
    return replace(
        first,
        gate=status_of([figures.gate for figures in each]),
        uplink=_uplinks([figures.uplink for figures in each]),
        clients_open=sum(figures.clients_open for figures in each),
        blocked_waiting=sum(figures.blocked_waiting for figures in each),
        raw_connections=sum(figures.raw_connections for figures in each),
        numbers=summed([gone.numbers, *(figures.numbers for figures in each)]),
        clients_closed=summed([gone.clients_closed, *(figures.clients_closed for figures in each)]),
        refused=summed([gone.refused, *(figures.refused for figures in each)]),
        native=all(figures.native for figures in each),
    )


def _uplinks(each: Sequence[UplinkStatus]) -> UplinkStatus:
    return UplinkStatus(
        connected=all(uplink.connected for uplink in each),
        connections=sum(uplink.connections for uplink in each),
        shared=sum(uplink.shared for uplink in each),
        pinned=sum(uplink.pinned for uplink in each),
        last_error=next((uplink.last_error for uplink in each if uplink.last_error), ""),
        server=each[0].server,
    )


def summed(each: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The sums by name; a name that only some have counts all the same."""
    total: dict[str, int] = {}
    for numbers in each:
        for name, value in numbers.items():
            total[name] = total.get(name, 0) + value
    return total


class AllFigures:
    """Asks all for theirs.

    @param listening: whether clients are accepted.
    """

    def __init__(
        self, members: Members, crew: Crew, supervisor: Supervisor, gone: Gone, listening: Callable[[], bool]
    ) -> None:
        self._members = members
        self._crew = crew
        self._supervisor = supervisor
        self._gone = gone
        self._listening = listening

    async def read(self) -> Figures:
        """The figures of all as one, and of each worker.

        @raise DataPlaneLost: there is none.
        """
        answers = await self._members.each_in_time(lambda plane: plane.figures(), ANSWER_S)
        told = {id(member): figures for member, figures in answers if figures is not None}
        workers = {id(worker): worker for worker in self._crew.all}
        for key in told.keys() & workers.keys():
            workers[key].last = told[key]
        known = [
            told.get(id(member)) or (workers[id(member)].last if id(member) in workers else None)
            for member in self._members.in_use
        ]
        figures = [each for each in known if each is not None]
        if not figures:
            raise DataPlaneLost(NONE_LEFT)
        rows = tuple(self._row(number, told) for number in self._supervisor.restarts)
        leaving = tuple(_of(worker, told.get(id(worker)), 0) for worker in self._crew.lingering.workers)
        return replace(together(figures, self._gone), workers=(*rows, *leaving), listening=self._listening())

    def _row(self, number: int, told: Mapping[int, Figures]) -> WorkerFigures:
        worker, restarts = self._crew.workers.get(number), self._supervisor.restarts[number]
        if worker is None:
            return WorkerFigures(number, 0, False, restarts, 0)
        return _of(worker, told.get(id(worker)), restarts)


def _of(worker: Worker, figures: Figures | None, restarts: int) -> WorkerFigures:
    own = WorkerFigures(worker.number, worker.pid, False, restarts, worker.clients.now, leaving=not worker.serving)
    if figures is None:
        return own
    return replace(
        own,
        answers=True,
        clients=figures.clients_open,
        in_flight=figures.gate.in_flight,
        held=figures.gate.held,
        commands=figures.numbers["flow.commands"],
        connected=figures.uplink.connected,
        numbers=figures.numbers,
    )
