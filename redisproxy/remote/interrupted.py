"""A switchover whose control plane is gone: the data plane asks both servers how it stands, and ends it.

The servers are the arbiter. The control plane promotes the new one only behind the fence on the old one, and lifts the
fence again only when the data plane has abandoned the move, or when nothing was promoted. So:

 - the server in use takes writes: nothing was promoted, or it is being undone. The move is abandoned, clients go on.
 - it is fenced, and the other one was promoted from its data and takes writes: clients go there.
 - the other one is marked as a finished copy of it and takes writes: clients go there, too. It is marked behind the
   fence, before the first order to go there, and the mark is taken back only as a promotion is.
   Not as long as the process of the control plane lives: it may not know that it is lost, and undo the promotion.
   Nor, before the time is over, when it has had the move withdrawn to be able to undo it.
 - it is fenced, and the other one follows it still: nobody lifts the fence if the control plane was that of another
   proxy, and has died. So the data plane does, when the time is over in which it might have promoted.
 - anything else, or no answer: clients are held, and the servers asked again, for a bounded time. Then the clients go
   on at the server in use, and the log says what an operator has to do.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from enum import Enum
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from redisproxy.dataplane.interface import SWITCHOVER, DataPlane
from redisproxy.net.errors import UplinkError
from redisproxy.remote.moving import Moves
from redisproxy.remote.standing import Brought
from redisproxy.servers.connecting import connect_to
from redisproxy.servers.copy_marker import Marked, marked
from redisproxy.servers.redis_server import RedisServer
from redisproxy.servers.state import ServerState

if TYPE_CHECKING:
    from redisproxy.config import Settings, UplinkSettings
    from redisproxy.net.network import Network


FIRST_LOOK_S = 0.1
"""A control plane that lives has noticed the loss by then, and gives no more orders to the servers but to undo."""
LOOK_AGAIN_S = 0.1
LOOK_LIMIT_S = 1.0
MARGIN_S = 5.0
"""Added to the pause budget: how long clients are held at the most for an interrupted switchover."""
DRAIN_S = 1.0


class Verdict(Enum):
    """What the servers say."""

    STAY = "the server in use takes writes"
    GO = "the new server has all data and takes writes"
    UNDECIDED = "the server in use is fenced, and the new one was not promoted"
    UNCLEAR = "unclear"


def verdict(old: ServerState | None, new: ServerState | None, writable: bool, mark: Marked | None = None) -> Verdict:
    """Where clients belong.

    @param old: the server in use; None when it does not answer. @param new: the other one.
    @param writable: the new one takes writes. @param mark: its mark; None when it was not asked, or does not answer.
    """
    if mark is Marked.COPIED and writable:
        return Verdict.GO
    if old is None or (not old.can_config and mark is None):
        return Verdict.UNCLEAR
    if not old.can_config or not old.fenced:
        return Verdict.STAY if old.role == "master" else Verdict.UNCLEAR
    if writable and new is not None and _promoted(old, new):
        return Verdict.GO
    follows = new is not None and new.role == "slave" and new.replication_id == old.replication_id
    return Verdict.UNDECIDED if old.role == "master" and (follows or mark is Marked.COPYING) else Verdict.UNCLEAR


def _promoted(old: ServerState, new: ServerState) -> bool:
    """Whether the new server was promoted from the old one's data; that may follow it by now, as the way back."""
    follows = old.role == "slave" and old.replication_id == new.replication_id != ""
    return new.role == "master" and (follows or new.former_id == old.replication_id != "")


class Arbiter:
    """Asks both servers of a switchover where clients belong."""

    log = Logger(namespace="redisproxy.interrupted")

    def __init__(self, network: Network, clock: IReactorTime) -> None:
        self._network = network
        self._clock = clock

    async def look(self, old: Settings, new: Settings | None) -> Verdict:
        """What they say now. @param new: of the prepared move; None when nothing is prepared."""
        state_of_old = await self._asked(old.uplink, RedisServer.state)
        if new is None:
            return verdict(state_of_old, None, False, Marked.NOT)
        state_of_new = await self._asked(new.uplink, RedisServer.state)
        writable = await self._asked(new.uplink, _takes_writes) or False
        mark = await self._asked(new.uplink, lambda server: marked(server, old.uplink.address))
        return verdict(state_of_old, state_of_new, writable, mark)

    async def lift_fence(self, uplink: UplinkSettings) -> bool:
        """Have the server take writes again; whether it was reached, and does."""
        return await self._asked(uplink, _unfenced) or False

    async def lift_fence_of_replica(self, uplink: UplinkSettings) -> bool:
        """Have a server take writes if it should be promoted one day; false while it is a primary, or not reached."""
        return await self._asked(uplink, _unfenced_replica) or False

    async def _asked(self, uplink: UplinkSettings, ask: Callable[[RedisServer], Coroutine[Any, Any, Any]]) -> Any:
        """What a server answers; None when it does not."""
        try:
            return await ensureDeferred(self._ask(uplink, ask)).addTimeout(LOOK_LIMIT_S, self._clock)
        except (UplinkError, TimeoutError):
            return None

    async def _ask(self, uplink: UplinkSettings, ask: Callable[[RedisServer], Coroutine[Any, Any, Any]]) -> Any:
        server = await connect_to(uplink, f"the server {uplink.address}", self._network, self._clock)
        try:
            return await ask(server)
        finally:
            server.close()


class Interrupted:
    """Ends an interrupted switchover.

    @param control_lives: whether the process that was connected as the control plane is still there.
    @param lease_s: the control plane is that of another proxy, which may have died behind the fence. So long after the
        pause budget it gives no more orders to the servers, and the fence is lifted if nothing was promoted. None: this
        machine's, which lifts the fence itself, or whose operator does.
    """

    log = Logger(namespace="redisproxy.interrupted")

    def __init__(
        self,
        plane: DataPlane,
        moves: Moves,
        network: Network,
        clock: IReactorTime,
        control_lives: Callable[[], bool],
        lease_s: float | None = None,
    ) -> None:
        self._plane, self._moves = plane, moves
        self._clock = clock
        self._lease_s = lease_s
        self._arbiter = Arbiter(network, clock)
        self._control_lives = control_lives

    async def end(self) -> None:
        """End it, in one way or the other."""
        begun = self._moves.begun
        settings = begun.prepared or begun.settings
        if settings.switchover.mode == "external":
            await self._stay("nothing is fenced in external mode")
            return
        deadline = self._deadline(settings)
        await self._sleep(FIRST_LOOK_S)
        while self._clock.seconds() < deadline:
            found = await self._look(begun.settings, begun.prepared)
            if found is Verdict.STAY:
                await self._stay(found.value)
                return
            if found is Verdict.GO and not self._may_be_undone and await self._go():
                return
            await self._sleep(LOOK_AGAIN_S)
        await self._end_at_last(begun.settings, begun.prepared)

    def _deadline(self, settings: Settings) -> float:
        budget_s, begun = settings.switchover.pause_budget_ms / 1000, self._moves.begun
        if self._lease_s is None or begun.held_at is None:
            return self._clock.seconds() + budget_s + MARGIN_S
        return max(begun.held_at + budget_s + self._lease_s, self._clock.seconds() + 2 * FIRST_LOOK_S)

    async def _end_at_last(self, old: Settings, new: Settings | None) -> None:
        """The time is over: nobody undoes anything any more."""
        ends = self._clock.seconds() + (0.0 if self._lease_s is None else MARGIN_S)
        while True:
            found = await self._look(old, new)
            if found is Verdict.UNDECIDED and self._lease_s is not None:
                await self._lift_fence(old.uplink)
            elif found is Verdict.STAY and self._lease_s is not None:
                await self._stay(found.value)
                return
            elif found is Verdict.GO and not self._control_lives() and await self._go():
                return
            if self._clock.seconds() >= ends:
                break
            await self._sleep(LOOK_AGAIN_S)
        await self._give_up(old, new)

    @property
    def _may_be_undone(self) -> bool:
        return self._control_lives() or self._moves.begun.withdrawn

    async def _look(self, old: Settings, new: Settings | None) -> Verdict:
        return await self._arbiter.look(old, new)

    async def _lift_fence(self, uplink: UplinkSettings) -> None:
        """Have the server take writes again; what comes of it the next look shows."""
        self.log.warn("{server} is fenced, and nothing was promoted: the fence is lifted", server=str(uplink.address))
        await self._arbiter.lift_fence(uplink)

    async def _stay(self, why: str) -> None:
        await self._moves.abandon()
        await self._moves.release(SWITCHOVER)
        self.log.warn(
            "the control plane was lost in a switchover: clients go on at {server} ({why})",
            server=str(self._moves.begun.settings.uplink.address),
            why=why,
        )

    async def _go(self) -> bool:
        """Go to the new server; False when that has to be tried again."""
        try:
            await self._drain()
            if self._moves.bringing:
                return False  # the control plane's last order is being carried out still
            if self._moves.begun.brought is not Brought.ALL:
                # Others may have written there since a WATCH was proven: so late none is made again.
                await self._moves.prepare_again()
                await self._moves.bring()
        except UplinkError as error:
            self.log.warn("clients can't go to the new server yet: {error}", error=error)
            return False
        await self._moves.swap()
        await self._moves.release(SWITCHOVER)
        self.log.warn(
            "the control plane was lost in a switchover: clients go on at {server}, which has all data",
            server=str(self._moves.begun.settings.uplink.address),
        )
        return True

    async def _drain(self) -> None:
        gate = self._plane.gate
        try:
            await gate.drained().addTimeout(DRAIN_S, self._clock)
        except TimeoutError:
            await self._sleep(0)  # if it was this process that stood still, answers are read only after its timers
            await gate.drop_in_flight()
            await gate.drained()

    async def _give_up(self, old: Settings, new: Settings | None) -> None:
        await self._moves.abandon()
        await self._moves.release(SWITCHOVER)
        other = "" if new is None else f" and {new.uplink.address}"
        self.log.error(
            "the control plane was lost in a switchover, and it can't be told from {old}{other} how it stands: clients"
            " go on at {old}. If the new server was promoted, have the configuration name it and reload; if not, run:"
            " redisproxy unfence -c CONFIG",
            old=str(old.uplink.address),
            other=other,
        )

    def _sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self._clock, seconds, lambda: None)


async def _takes_writes(server: RedisServer) -> bool:
    await server.probe_write()
    return True


async def _unfenced_replica(server: RedisServer) -> bool:
    state = await server.state()
    if state.role == "slave" and state.fenced:
        await server.unfence(state)
    return state.role == "slave"


async def _unfenced(server: RedisServer) -> bool:
    state = await server.state()
    await server.unfence(state) if state.fenced else await server.end_pause()
    return True
