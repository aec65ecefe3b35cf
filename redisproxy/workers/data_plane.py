"""The data plane that consists of workers, as the control plane sees it: one, whatever becomes of its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred, succeed

from redisproxy.dataplane.interface import DataPlaneLost, Figures, WorkerFigures
from redisproxy.workers.all_clients import ANSWER_S, AllClients
from redisproxy.workers.all_figures import Gone, together
from redisproxy.workers.all_gates import AllGates
from redisproxy.workers.all_moves import AllMoves
from redisproxy.workers.all_notes import AllNotes
from redisproxy.workers.dealing import Dealing
from redisproxy.workers.everywhere import Everywhere
from redisproxy.workers.members import NONE_LEFT, Members
from redisproxy.workers.no_handover import NoHandover
from redisproxy.workers.supervisor import Supervisor

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.workers.members import Member


class WorkersDataPlane:
    """Implements C{interface.DataPlane}.

    @ivar ports: the listening sockets; whoever starts the process opens them.
    """

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self._members = members = Members(settings, reactor)
        self._gone = Gone()
        self.gate = AllGates(members)
        self.move = AllMoves(members)
        self.clients = AllClients(members, lambda: self.ports.close())
        self.handover = NoHandover()
        self.notes = AllNotes(members)
        answers = Everywhere(self.clients)
        self._supervisor = Supervisor(settings.worker_count, members, self._gone, answers, reactor)
        self.ports = Dealing(members, self._supervisor, reactor)

    def start(self) -> Deferred[None]:
        self._supervisor.start()
        return succeed(None)

    def connected(self) -> Deferred[bool]:
        return ensureDeferred(self._connected())

    async def _connected(self) -> bool:
        answers = await self._members.each_in_time(lambda plane: plane.connected(), ANSWER_S)
        return bool(answers) and all(connected for _, connected in answers)

    def server_known(self) -> Deferred[None]:
        return ensureDeferred(self._server_known())

    async def _server_known(self) -> None:
        while True:
            await self._members.first()
            member = self._members.in_use[0]
            try:
                await member.plane.server_known()
                return
            except DataPlaneLost as error:
                self._members.lose(member, str(error))

    def figures(self) -> Deferred[Figures]:
        return ensureDeferred(self._figures())

    async def _figures(self) -> Figures:
        answers = await self._members.each_in_time(lambda plane: plane.figures(), ANSWER_S)
        for member, figures in answers:
            if figures is not None and member.number in self._supervisor.workers:
                self._supervisor.workers[member.number].last = figures
        workers = self._each(dict(answers))
        known = [each for each in (figures or self._last(member) for member, figures in answers) if each is not None]
        if not known:
            raise DataPlaneLost(NONE_LEFT)
        whole = together(known, self._gone)
        fields = {**vars(whole), "workers": workers, "listening": self.ports.listening}
        return Figures(**fields)

    def _last(self, member: Member) -> Figures | None:
        worker = self._supervisor.workers.get(member.number)
        return None if worker is None else worker.last

    def _each(self, answers: dict[Member, Figures | None]) -> tuple[WorkerFigures, ...]:
        by_number = {member.number: figures for member, figures in answers.items()}
        return tuple(self._one(number, by_number.get(number)) for number in self._supervisor.restarts)

    def _one(self, number: int, figures: Figures | None) -> WorkerFigures:
        worker, restarts = self._supervisor.workers.get(number), self._supervisor.restarts[number]
        pid, clients = (0, 0) if worker is None else (worker.pid, worker.clients.now)
        if figures is None:
            return WorkerFigures(number, pid, False, restarts, clients)
        gate = figures.gate
        return WorkerFigures(
            number=number,
            pid=pid,
            answers=True,
            restarts=restarts,
            clients=figures.clients_open,
            in_flight=gate.in_flight,
            held=gate.held,
            commands=figures.numbers["flow.commands"],
            connected=figures.uplink.connected,
        )

    def stop(self) -> Deferred[None]:
        return ensureDeferred(self._supervisor.stop())
