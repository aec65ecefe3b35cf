"""The data plane that consists of several, as the control plane sees it: one, whatever becomes of its parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from redisproxy.dataplane import shared_value
from redisproxy.dataplane.interface import DataPlaneLost, Figures
from redisproxy.workers.all_clients import ANSWER_S, AllClients
from redisproxy.workers.all_figures import AllFigures
from redisproxy.workers.all_gates import AllGates
from redisproxy.workers.all_handovers import AllHandovers
from redisproxy.workers.all_moves import AllMoves, FixedNumber
from redisproxy.workers.all_notes import AllNotes
from redisproxy.workers.all_records import AllRecords
from redisproxy.workers.crew import Crew
from redisproxy.workers.dealing import Dealing
from redisproxy.workers.everywhere import Everywhere
from redisproxy.workers.finding import Finding
from redisproxy.workers.gone import Gone
from redisproxy.workers.handovers import Handovers
from redisproxy.workers.lingering import Lingering
from redisproxy.workers.members import Members
from redisproxy.workers.supervisor import Supervisor

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.remote.run_directory import RunDirectory
    from redisproxy.workers.here import Here


LOOK_S = 0.05
FIND_TO_END_S = 5.0
UNTOLD_IDS = 1_000_000
"""The process whose place is taken may give so many more after it has told what clients share."""


class WorkersDataPlane:
    """Implements C{interface.DataPlane}.

    @ivar ports: the listening sockets; whoever starts the process opens them.
    @ivar crew: the data planes in other processes.
    @param directory: where they listen.
    @param here: the data plane of this process; None when workers carry the commands.
    @param on_found: called with the settings in force when workers go on that have others than C{settings}.
    @param reload: called when the settings of the file have to be brought in force.
    @param finds: take over what an earlier control process has left when it starts; else at L{find_the_rest}.
    """

    log = Logger(namespace="redisproxy.workers")

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        directory: RunDirectory,
        here: Here | None = None,
        on_found: Callable[[Settings], None] = lambda settings: None,
        reload: Callable[[], object] = lambda: None,
        finds: bool = True,
    ) -> None:
        self._reactor, self._reload, self._here, self._finds = reactor, reload, here, finds
        self._members = members = Members(settings, reactor)
        self._handovers = handovers = Handovers(members, reactor)
        gone = Gone()
        lingering = Lingering(members, handovers, lambda: members.settings, reactor)
        self.crew = crew = Crew(members, gone, lingering, directory, reactor)
        self._supervisor = supervisor = Supervisor(crew, reactor)
        self._finding = Finding(crew, settings, reactor)
        self.ports = Dealing(members, lambda: [*crew.all, *([here] if here is not None else [])], reactor)
        self._all_figures = AllFigures(members, crew, supervisor, gone, lambda: self.ports.listening)
        self._take_orders()
        crew.on_found, members.changed = on_found, self._changed

    def _take_orders(self) -> None:
        """Make what carries the orders out, and what answers workers."""
        members = self._members
        self.gate = AllGates(members)
        numbers = self._supervisor if self._here is None else FixedNumber()
        self.move = AllMoves(members, numbers, self._handovers.stop, self.gate.unwatched)
        self.clients = AllClients(members, self.ports.close)
        self.handover = AllHandovers(members, self._handovers)
        self.notes = AllNotes(members)
        self.records = AllRecords(members, self._reactor)
        self.crew.answers = self._everywhere = Everywhere(self.clients)

    def _changed(self) -> None:
        """A member has come or gone."""
        self.ports.steer()
        self._handovers.soon()

    def start(self) -> Deferred[None]:
        return ensureDeferred(self._start())

    async def _start(self) -> None:
        self.crew.directory.make()
        self.crew.stalls.start()
        differs = self._finds and await self._finding.find()
        self._finds = False
        if self._here is not None:
            await self._here.start(self._reactor, self._members.settings, self._everywhere, self._members.scripts)
            self._members.join(self._here)
        else:
            self._supervisor.keep(self._members.settings.worker_count)
        if differs:
            self._reload()

    # -- upgrades

    @property
    def doors(self) -> tuple[str, ...]:
        """The Unix sockets at which those that serve take clients of other processes in."""
        return tuple(member.door for member in self._members.serving)

    async def tell_shared(self, here: bytes) -> bytes:
        """What all clients share. @param here: what those of this process do."""
        state = here or await self._supervisor.tell_shared()
        return shared_value.with_no_id_up_to(state, self.crew.after) if state else b""

    def begin_with(self, shared: bytes) -> None:
        """What clients share in the process whose place this one takes; before L{start}."""
        if shared:
            self._supervisor.shared = shared
            self.crew.no_id_up_to(shared_value.last_id(shared) + UNTOLD_IDS)

    async def learn(self, shared: bytes) -> None:
        """Know the scripts of the process whose place this one takes."""
        await self._members.scripts.heard(shared)

    async def all_serve(self) -> None:
        """Fire when all that are to serve do."""
        while len(self._members.serving) < max(1, len(self._supervisor.restarts)):
            await deferLater(self._reactor, LOOK_S, lambda: None)

    def let_go(self) -> None:
        """Drive none any more: another process does."""
        self._handovers.close()
        self.crew.lingering.stop()
        self.crew.let_go()

    async def drive_again(self) -> None:
        """The process that was to take this one's place is gone: drive its workers, and those it has taken over."""
        superseded, self.crew.superseded = self.crew.superseded, False
        await self._finding.find(only_to_end=not superseded)
        if superseded and self._here is None:
            self._supervisor.keep(self._members.settings.worker_count)

    async def find_the_rest(self) -> None:
        """Drive what the process whose place this one has taken has left, until its clients have gone."""
        await self._finding.find(only_to_end=True)

    # -- the whole

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
            member = next(iter(self._members.in_use), None)
            if member is None:
                continue  # it was lost as it joined
            try:
                await member.plane.server_known()
                return
            except DataPlaneLost as error:
                self._members.lose(member, str(error))

    def figures(self) -> Deferred[Figures]:
        return ensureDeferred(self._all_figures.read())

    def stop(self) -> Deferred[None]:
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        self._handovers.close()
        self.crew.stalls.stop()
        if self._finds:  # the end came before all were found that are to end, too
            await self._finding.finish(FIND_TO_END_S)
        await self._supervisor.stop()
        if self._here is not None:
            await self._here.stop()
        self.crew.directory.leave()
