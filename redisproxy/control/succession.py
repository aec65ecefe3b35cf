"""One attempt of an upgrade: clients go over to the new process, then it takes charge; or everything goes back.

What is asked of the new process and of this one is in the two protocols here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

import redisproxy
from redisproxy.dataplane.interface import OPERATOR, DataPlaneLost, HandoverRefused, Taker
from redisproxy.net.deferreds import carried_out

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.control.answers import Answer
    from redisproxy.control.results import Results
    from redisproxy.dataplane.interface import DataPlane

ROUNDS = 5
ALL = 10_000_000
"""As many clients as there are."""
CLIENT_S = 2.0
"""How long one client may take to have nothing under way; one that takes longer is asked again in the next round."""


class SuccessorFailed(Exception):
    """The new process can't take this one's place. C{str()} says why."""


class Ready(Protocol):
    """A new process that could serve: its number, its program's version, and the Unix sockets at which it
    takes clients in."""

    @property
    def pid(self) -> int: ...

    @property
    def version(self) -> str: ...

    @property
    def doors(self) -> tuple[str, ...]: ...


class Successor(Protocol):
    """The new process. Each call may fail with L{SuccessorFailed}."""

    @property
    def alive(self) -> bool: ...

    async def ready(self, server: str, shared: bytes, limit_s: float) -> Ready:
        """Wait until it could serve clients of `server`. @param shared: see L{take_shared}."""

    async def take_shared(self, shared: bytes) -> None:
        """Give it what all clients share: before the first of them, and again after the last one."""

    async def accept(self, paused: bool, back: tuple[str, ...]) -> None:
        """Have it accept clients, held if `paused`; it gives them back at the Unix sockets `back` if it has to."""

    async def take_charge(self, history: dict[str, Any]) -> None:
        """It is the proxy from now on. This wait is not cut short."""

    async def part(self) -> None:
        """Tell it that this process has given its place up, and go on without a connection to it."""

    async def give_up(self, here: Callable[[], Coroutine[Any, Any, int]]) -> bool:
        """Have it hand back what it has and end; fire when it has. False: it had to be killed.

        @param here: how many clients this process has, by which it is seen that some come back.
        """


class Predecessor(Protocol):
    """This process, as it gives its place away."""

    @property
    def refused(self) -> str:
        """Why it can't be upgraded; empty when it can."""

    def start_successor(self) -> Successor:
        """Start the program.

        @raise SuccessorFailed: there is none, or it may not be.
        """

    def take_back(self) -> tuple[str, ...]:
        """Take clients back; the Unix sockets where.

        @raise SuccessorFailed: there can't be any.
        """

    async def shared(self) -> bytes:
        """What all clients share."""

    async def accept_nobody(self) -> None:
        """Leave new clients to the new process."""

    async def close_admin(self) -> None:
        """Leave new requests to the new process."""

    def open_again(self) -> None:
        """The upgrade has failed, and the new process has ended: accept clients and requests as before, and see to
        the workers that it has left."""

    def retire(self, pid: int) -> None:
        """Process `pid` is in charge: end when the last client has gone."""


class Attempt:
    """From the start of the new process to the moment in which it takes charge.

    @param ends: whether this process is to end, so that nobody is to take its place any more.
    @ivar step: where it is.
    @ivar lost: how many clients have gone with a new process that was lost.
    """

    log = Logger(namespace="redisproxy.upgrade")

    def __init__(
        self,
        predecessor: Predecessor,
        dataplane: DataPlane,
        results: Results,
        settings: Settings,
        clock: IReactorTime,
        ends: Callable[[], bool],
    ) -> None:
        self.step = "start"
        self.lost = 0
        self._predecessor = predecessor
        self._dataplane = dataplane
        self._results = results
        self._settings = settings
        self._clock = clock
        self._ends = ends
        self._began = clock.seconds()
        self._handed = self._before = 0
        self._hand_over_ms = 0.0

    @property
    def ms(self) -> float:
        """For how long it has run."""
        return round((self._clock.seconds() - self._began) * 1000, 1)

    async def run(self) -> Answer:
        """Do it; what has been done.

        @raise SuccessorFailed: the new process can't take this one's place. Everything is as it was.
        """
        successor = self._predecessor.start_successor()
        try:
            ready = await self._ready(successor)
            stayed = await self._pass_clients(successor, ready)
            self._require_going_on()
            return await carried_out(self._pass_control(successor, ready, stayed))
        except BaseException as error:
            await carried_out(self._undo(successor, error))
            if isinstance(error, DataPlaneLost | HandoverRefused):
                raise SuccessorFailed(str(error)) from error
            raise

    async def _ready(self, successor: Successor) -> Ready:
        settings = self._settings
        shared, limit_s = await self._predecessor.shared(), settings.upgrade.start_limit_ms / 1000
        ready = await successor.ready(str(settings.uplink.address), shared, limit_s)
        self.log.info("process {pid} (version {to}) is ready", pid=ready.pid, to=ready.version)
        return ready

    async def _pass_clients(self, successor: Successor, ready: Ready) -> int:
        """How many stay."""
        self.step = "hand over"
        began = self._clock.seconds()
        predecessor = self._predecessor
        back = predecessor.take_back()
        self._before = await self._left()
        await predecessor.accept_nobody()
        await self._dataplane.handover.stop()
        await successor.take_shared(await predecessor.shared())
        await successor.accept(await self._paused(), back)
        for _ in range(ROUNDS):
            to = tuple(Taker(door, ALL) for door in ready.doors)
            count = (await self._dataplane.handover.hand_over(to, CLIENT_S)).taken
            self._handed += count
            self._require_going_on()
            left = await self._left()
            if not successor.alive:
                raise SuccessorFailed("the new process has ended or hangs while clients were handed over to it")
            if not left or not count:
                break
        await successor.take_shared(await predecessor.shared())
        self._hand_over_ms = round((self._clock.seconds() - began) * 1000, 1)
        return left

    def _require_going_on(self) -> None:
        if self._ends():
            raise CancelledError

    async def _paused(self) -> bool:
        return OPERATOR in (await self._dataplane.gate.state()).reasons

    async def _left(self) -> int:
        figures = await self._dataplane.figures()
        return figures.clients_open + figures.raw_connections

    async def _here(self) -> int:
        """The same where no failure may come in between: without any worker for the moment there is nobody here."""
        try:
            return await self._left()
        except DataPlaneLost:
            return 0

    async def _pass_control(self, successor: Successor, ready: Ready, stayed: int) -> Answer:
        self.step = "take charge"
        await self._predecessor.close_admin()
        times = {"ms": self.ms, "hand_over_ms": self._hand_over_ms}
        moved = {"pid": ready.pid, "clients": self._handed, "stayed": stayed, **times}
        answer = {"from": redisproxy.__version__, "to": ready.version, **moved}
        await successor.take_charge(self._results.history({"ok": True, **answer}))
        self._predecessor.retire(ready.pid)
        await successor.part()
        return answer

    async def _undo(self, successor: Successor, error: BaseException) -> None:
        """Everything is as it was, but for the clients of a new process that was lost."""
        with suppress(DataPlaneLost):  # who is on the way to a process that ends is at neither
            await self._dataplane.handover.stop()
        by_itself = await successor.give_up(self._here)
        self._predecessor.open_again()
        here = await self._here()
        self.lost = max(0, self._before - here)
        self.log.error(
            "not upgraded, this process goes on: {why}; {clients}; the new process {ended}",
            why="the proxy shuts down" if isinstance(error, CancelledError) else str(error),
            clients=f"of {self._before} clients {here} are here" if self._before else "no client was touched",
            ended="has ended" if by_itself else "had to be killed",
        )
