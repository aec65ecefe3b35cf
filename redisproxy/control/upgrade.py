"""Upgrade: the program as it is on disk now takes the place of this process, and no client notices.

Up to the last step, in which the new process takes charge, everything stays or goes back where it was when something
fails. What is asked of the new process and of this one is in the two protocols here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

import redisproxy
from redisproxy.control.errors import OperationError, WrongState
from redisproxy.dataplane.interface import OPERATOR, DataPlaneLost
from redisproxy.net.deferreds import carried_out

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.control.configuration import Configuration
    from redisproxy.control.exclusion import Exclusion
    from redisproxy.control.results import Results
    from redisproxy.dataplane.interface import DataPlane

UPGRADE = "upgrade"
ROUNDS = 5
CLIENT_S = 2.0
"""How long one client may take to have nothing under way; one that takes longer is asked again in the next round."""


class SuccessorFailed(Exception):
    """The new process can't take this one's place. C{str()} says why."""


class UpgradeFailed(OperationError):
    """The upgrade did not take place."""

    status = 502


class Ready(Protocol):
    """A new process that could serve: its number, its program's version, and where it takes clients in."""

    @property
    def pid(self) -> int: ...

    @property
    def version(self) -> str: ...

    @property
    def clients(self) -> str: ...


class Successor(Protocol):
    """The new process. Each call may fail with L{SuccessorFailed}."""

    @property
    def alive(self) -> bool: ...

    async def ready(self, server: str, limit_s: float) -> Ready:
        """Wait until it could serve clients of `server`."""

    async def take_shared(self, shared: bytes) -> None:
        """Give it what all clients share, before the first of them."""

    async def accept(self, paused: bool, back: str) -> None:
        """Have it accept clients, held if `paused`; it gives them back at the Unix socket `back` if it has to."""

    async def take_charge(self, history: dict[str, Any]) -> None:
        """It is the proxy from now on. This wait is not cut short."""

    def part(self) -> None:
        """Go on without a connection to it."""

    async def give_up(self) -> bool:
        """Have it hand back what it has and end; fire when it has. False: it had to be killed."""


class Predecessor(Protocol):
    """This process, as it gives its place away."""

    @property
    def back(self) -> str:
        """The Unix socket at which clients are taken back."""

    def start_successor(self) -> Successor:
        """Start the program.

        @raise SuccessorFailed: there is none, or it may not be.
        """

    def take_back(self) -> None:
        """Take clients back at L{back}."""

    async def shared(self) -> bytes:
        """What all clients share."""

    async def accept_nobody(self) -> None:
        """Leave new clients to the new process."""

    async def close_admin(self) -> None:
        """Leave new requests to the new process."""

    def open_again(self) -> None:
        """The upgrade has failed: accept clients and requests as before."""

    def retire(self, pid: int) -> None:
        """Process `pid` is in charge: end when the last client has gone."""


class Upgrade:
    """The operation.

    @param limit_s: gives how long the new process may take until it is ready.
    @ivar step: of the upgrade that runs; empty when none does.
    @ivar successor_pid: the process that has taken this one's place; 0 before.
    """

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
        self.step = ""
        self.successor_pid = 0

    def of(self, predecessor: Predecessor) -> None:
        """What can be upgraded. Without it every upgrade is refused."""
        self._predecessor = predecessor

    def upgrade(self) -> Deferred[Answer]:
        """Do it; refused while a move runs."""
        predecessor = self._predecessor
        if predecessor is None:
            return fail(WrongState("this process has no command line that could be started again"))
        return self._exclusion.run(UPGRADE, lambda: self._noted(predecessor))

    def on_signal(self) -> Deferred[None]:
        """Do it for a SIGUSR2; one that comes while a move runs is carried out after it."""
        return self._exclusion.run_next(lambda: self.upgrade().addErrback(self._not_done))

    def _not_done(self, failure: Any) -> None:
        self.log.warn("the SIGUSR2 has had no effect: {error}", error=failure.getErrorMessage())

    async def _noted(self, predecessor: Predecessor) -> Answer:
        began = self._clock.seconds()
        try:
            answer = await self._upgrade(predecessor)
        except SuccessorFailed as error:
            answer = {"ok": False, "error": str(error), "step": self.step, "ms": self._ms(began)}
            self._results.upgraded(answer)
            raise UpgradeFailed(f"not upgraded, this process goes on: {error}", step=self.step) from error
        finally:
            self.step = ""
        return answer

    def _ms(self, began: float) -> float:
        return round((self._clock.seconds() - began) * 1000, 1)

    async def _upgrade(self, predecessor: Predecessor) -> Answer:
        self.step = "start"
        began = self._clock.seconds()
        successor = predecessor.start_successor()
        try:
            settings = self._configuration.settings
            ready = await successor.ready(str(settings.uplink.address), settings.upgrade.start_limit_ms / 1000)
            self.log.info("process {pid} (version {to}) is ready", pid=ready.pid, to=ready.version)
            moved = await self._pass_clients(predecessor, successor, ready)
            answer = {"from": redisproxy.__version__, "to": ready.version, "pid": ready.pid, **moved}
            return await carried_out(self._pass_control(predecessor, successor, ready, answer, began))
        except BaseException as error:
            await carried_out(self._undo(predecessor, successor, error))
            if isinstance(error, DataPlaneLost):
                raise SuccessorFailed(str(error)) from error
            raise

    async def _pass_clients(self, predecessor: Predecessor, successor: Successor, ready: Ready) -> Answer:
        self.step = "hand over"
        predecessor.take_back()
        await predecessor.accept_nobody()
        await successor.take_shared(await predecessor.shared())
        await successor.accept(await self._paused(), predecessor.back)
        handed = 0
        for _ in range(ROUNDS):
            count = await self._dataplane.handover.hand_over(ready.clients, CLIENT_S)
            handed += count
            left = await self._left()
            if not successor.alive:
                raise SuccessorFailed(f"the new process has ended or hangs, with {handed} clients handed over to it")
            if not left or not count:
                break
        return {"clients": handed, "stayed": left}

    async def _paused(self) -> bool:
        return OPERATOR in (await self._dataplane.gate.state()).reasons

    async def _left(self) -> int:
        figures = await self._dataplane.figures()
        return figures.clients_open + figures.raw_connections

    async def _pass_control(
        self, predecessor: Predecessor, successor: Successor, ready: Ready, answer: Answer, began: float
    ) -> Answer:
        self.step = "take charge"
        await predecessor.close_admin()
        answer = {**answer, "ms": self._ms(began)}
        await successor.take_charge(self._results.history({"ok": True, **answer}))
        self.successor_pid = ready.pid
        successor.part()
        self._results.upgraded({"ok": True, **answer})
        predecessor.retire(ready.pid)
        return answer

    async def _undo(self, predecessor: Predecessor, successor: Successor, error: BaseException) -> None:
        """Everything is as it was, but for the clients of a new process that was lost."""
        there = await self._left()
        by_itself = await successor.give_up()
        predecessor.open_again()
        back = await self._left() - there
        why = "the proxy shuts down" if isinstance(error, CancelledError) else str(error)
        text = "not upgraded: {why}. {back} clients have come back; the new process {ended}. This process goes on"
        self.log.error(text, why=why, back=back, ended="has ended" if by_itself else "had to be killed")
