"""What operators ask for, over the whole fleet; C{alone} has the same for this proxy alone."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.control.errors import OperationError, Unavailable, WrongState
from redisproxy.control.planned_failover import PLANNED_FAILOVER
from redisproxy.dataplane.interface import RELOAD, SWITCHOVER, DataPlaneLost
from redisproxy.fleet import orders
from redisproxy.fleet.failures import FAILURES, why
from redisproxy.fleet.figures import FleetFigures
from redisproxy.fleet.leading import HERE, Leading
from redisproxy.fleet.roster import Unreachable
from redisproxy.net.deferreds import all_settled

if TYPE_CHECKING:
    from redisproxy.control.answers import Answer
    from redisproxy.control.operations import Operations
    from redisproxy.fleet.all_planes import Assembly
    from redisproxy.fleet.here import Here
    from redisproxy.fleet.led import Led
    from redisproxy.fleet.led_failover import LedFailover
    from redisproxy.fleet.peer import Peer
    from redisproxy.fleet.roster import Roster
    from redisproxy.fleet.status import Status
    from redisproxy.fleet.vigil import Vigil
    from redisproxy.remote.order import Order

UNPAUSE_S = 2.0


class FleetOperations:
    """Implements C{admin.Operations}.

    @ivar alone: those of this proxy alone.
    @ivar led: the operation that a peer leads here, if there is one.
    """

    log = Logger(namespace="redisproxy.fleet")

    def __init__(
        self, here: Here, alone: Operations, assembly: Assembly, roster: Roster, status: Status, vigil: Vigil
    ) -> None:
        self.alone = alone
        self.led: Led | LedFailover | None = None
        self._here = here
        self._leading = Leading(here, assembly, roster, vigil)
        self._roster = roster
        self._status = status
        self.upgrade, self.terminate_raw_connections = alone.upgrade, alone.terminate_raw_connections
        self.forget_way_back, self.ready = alone.forget_way_back, alone.ready
        self.metrics = FleetFigures(here, roster, assembly, lambda: self.led is not None).beside(alone.metrics)
        self.clients, self.kill_clients, self.figures = alone.clients, alone.kill_clients, alone.figures
        self.slow_commands, self.hot_keys = alone.slow_commands, alone.hot_keys

    @property
    def _is_fleet(self) -> bool:
        return self._here.configuration.settings.fleet is not None

    # -- moves, which one leads

    def reload(self) -> Deferred[Answer]:
        """Have each take its configuration file as it is now, all at the same moment."""
        if not self._is_fleet:
            return self.alone.reload()
        return _uncancelled(self._leading.lead(RELOAD, self.alone.reload))

    def switchover(self, dry_run: bool, back: bool = False) -> Deferred[Answer]:
        """Move the data, and the clients of all, to the uplink that every file names now."""
        return self._switch_over(back, lambda: self.alone.switchover(dry_run, back))

    def failover(self, dry_run: bool) -> Deferred[Answer]:
        """Have the sentinels make a replica the primary, and take the clients of all there with nothing lost."""
        begin = partial(self.alone.failover, dry_run)
        return begin() if dry_run or not self._is_fleet else _uncancelled(self._leading.lead(PLANNED_FAILOVER, begin))

    def go_back(self, reason: str) -> Deferred[Answer]:
        """Go back to the server before, for a reason that nobody has ordered."""
        switch_over = self._here.control.switchover.switch_over
        return self._switch_over(True, lambda: switch_over(back=True, reason=reason))

    def _switch_over(self, back: bool, begin: Callable[[], Deferred[Answer]]) -> Deferred[Answer]:
        return _uncancelled(self._leading.lead(SWITCHOVER, begin, back)) if self._is_fleet else begin()

    def switchover_abort(self) -> Deferred[Answer]:
        """Stop the switchover that runs, whoever of the fleet leads it."""
        return self._at_the_leader(orders.AbortSwitchover, self.alone.switchover_abort)

    def switchover_go_on(self) -> Deferred[Answer]:
        """In external mode: the new server is promoted."""
        return self._at_the_leader(orders.GoOn, self.alone.switchover_go_on)

    def _at_the_leader(self, order: type[Order], own: Callable[[], Any]) -> Deferred[Answer]:
        led = self.led
        leader = [peer for peer in self._roster.peers if led is not None and peer.told.instance == led.leader]
        answer: Deferred[Answer] = ensureDeferred(_told(leader[0], order)) if leader else maybeDeferred(own)
        return answer

    # -- the operator's pause

    def pause(self) -> Deferred[Answer]:
        """Close the gates of all."""
        return self._pause(self.alone.pause, wait=False, timeout_ms=0)

    def pause_and_wait(self, timeout_ms: int | None) -> Deferred[Answer]:
        """Close the gates of all, and tell when every client of all is suspended."""
        return self._pause(lambda: self.alone.pause_and_wait(timeout_ms), wait=True, timeout_ms=timeout_ms or 0)

    def _pause(self, own: Callable[[], Deferred[Answer]], **how: Any) -> Deferred[Answer]:
        return ensureDeferred(self._paused(own, how)) if self._is_fleet else own()

    async def _paused(self, own: Callable[[], Deferred[Answer]], how: Answer) -> Answer:
        try:
            peers = await self._roster.assembled()
        except Unreachable as error:
            raise WrongState(f"nobody is paused: {error}{HERE}") from error
        works = [own(), *(peer.give(orders.Pause, **how) for peer in peers)]
        answer, told, faults = _together(self._here.name, peers, await all_settled(works))
        if faults:
            raise WrongState(f"not all are paused: {'; '.join(faults)}; unpause lets all go on", peers=told)
        return {**answer, "peers": told}

    def unpause(self) -> Deferred[Answer]:
        """Open the gates of all that can be reached."""
        return ensureDeferred(self._unpaused()) if self._is_fleet else self.alone.unpause()

    async def _unpaused(self) -> Answer:
        """Who is connected is told at once, and who has to be connected first a moment later."""
        peers = self._roster.peers
        works = [self.alone.unpause(), *map(self._told_to_go_on, peers)]
        with suppress(Unreachable):
            await self._roster.assembled()
        late = [peer for peer in self._roster.peers if peer not in peers]
        works += map(self._told_to_go_on, late)
        answer, told, faults = _together(self._here.name, [*peers, *late], await all_settled(works))
        asked = {peer.name for peer in (*peers, *late)}
        faults += [f"{name}: {text}" for name, text in self._roster.missing.items() if name not in asked]
        if faults:
            raise Unavailable(f"the others go on, but {'; '.join(faults)}", peers=told)
        return {**answer, "peers": told}

    def _told_to_go_on(self, peer: Peer) -> Deferred[Answer]:
        answer: Deferred[Answer] = peer.give(orders.Unpause).addTimeout(UNPAUSE_S, self._here.clock)
        return answer

    # -- pages

    def info(self) -> Deferred[Answer]:
        """All that the pages show of this proxy, and how many peers there are."""
        return self.alone.info().addCallback(lambda info: {**info, "fleet": self._status.short()})

    def fleet(self) -> Deferred[Answer]:
        """The contents of /fleet.json."""
        return ensureDeferred(self._status.whole())


def _together(name: str, peers: list[Peer], results: list[tuple[bool, Any]]) -> tuple[Answer, list[Answer], list[str]]:
    """This proxy's answer; what each has answered; and what has failed where."""
    told, faults = [], []
    for who, (good, result) in zip([name, *(peer.name for peer in peers)], results, strict=True):
        if good:
            told.append({"peer": who, **result})
            continue
        result.trap(OperationError, *FAILURES)
        text = why(result, UNPAUSE_S)
        told.append({"peer": who, "error": text})
        faults.append(f"{who}: {text}")
    return (results[0][1] if results[0][0] else {}), told, faults


async def _told(leader: Peer, order: type[Order]) -> Answer:
    try:
        answer: Answer = await leader.give(order)
        return answer
    except DataPlaneLost as error:
        raise Unavailable(str(error)) from error
    except FAILURES as error:
        raise WrongState(why(Failure(), 0)) from error


def _uncancelled(work: Coroutine[Deferred[Any], Any, Answer]) -> Deferred[Answer]:
    """What comes of `work`, which goes on when nobody waits for it any more."""
    answer: Deferred[Answer] = Deferred()

    def over(result: Answer | Failure) -> None:
        answer.callback(result)

    ensureDeferred(work).addBoth(over)
    return answer
