"""Those that take part in one operation of the fleet, this proxy among them, and how an order is given to all.

Before the old server is fenced, a party without one of its members does nothing: its loss ends the operation. Behind
the fence it goes on without: who is lost can't write at the old server, and finds the new one by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.dataplane.interface import ERRORS, DataPlaneLost, Rejected
from redisproxy.fleet.failures import OUT_OF_STEP, why
from redisproxy.fleet.orders import Claim, Dismiss, PrepareMove
from redisproxy.net.deferreds import all_settled

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.control.answers import Answer
    from redisproxy.dataplane.interface import Release
    from redisproxy.fleet.peer import Peer
    from redisproxy.fleet.side import Side
    from redisproxy.remote.order import Order

DISMISS_S = 5.0


class Takes(Protocol):
    """Who takes orders: a peer, or this proxy's own side."""

    def give(self, order: type[Order], **arguments: Any) -> Deferred[Any]: ...


class Member:
    """One that takes part.

    @ivar lost: why it is not there any more; empty while it is.
    @ivar claimed: it takes orders of this party.
    """

    def __init__(self, name: str, takes: Takes, peer: Peer | None) -> None:
        self.name = name
        self.takes = takes
        self.peer = peer
        self.lost = ""
        self.claimed = peer is None
        self._closed_before: Mapping[str, int] = {}
        self._report: Answer = {}

    @property
    def instance(self) -> str:
        """Of the peer's process."""
        return "" if self.peer is None else self.peer.told.instance

    @property
    def there(self) -> bool:
        """Whether it can be given orders."""
        if self.peer is not None and self.peer.link.lost and not self.lost:
            self.lost = "the connection to it was lost"
        return not self.lost

    def lose(self, why: str) -> None:
        """Go on without it; it goes on by itself."""
        self.lost = self.lost or why
        if self.peer is not None:
            self.peer.give_up()

    def begins(self, clients_closed: Mapping[str, int]) -> None:
        """Its part begins; so many clients had been closed there by then, by reason."""
        self._closed_before = clients_closed

    def released(self, release: Release) -> Mapping[str, int]:
        """What became of its clients; how many were closed in the operation, by reason."""
        closed = {why: count - self._closed_before.get(why, 0) for why, count in release.clients_closed.items()}
        self._report = {
            "pause_ms": round((release.closed_s or 0.0) * 1000, 2),
            "held": release.held,
            "longest_wait_ms": round(release.longest_wait_s * 1000, 2),
            "clients_closed": {why: count for why, count in closed.items() if count > 0},
        }
        told: Mapping[str, int] = self._report["clients_closed"]
        return told

    def as_report(self) -> Answer:
        """For the report of the operation."""
        return {"peer": self.name, **self._report, **({"lost": self.lost} if self.lost else {})}


Told = tuple[Member, Any]
"""What one has answered."""


class _Given:
    """One order that was given to several; when it fails at one, the others are cut short."""

    def __init__(self, may_be_lost: bool, may_fail: bool) -> None:
        self.failures: list[Failure] = []
        self._may_be_lost, self._may_fail = may_be_lost, may_fail
        self._works: list[Deferred[Any]] = []
        self._answers: list[Told] = []

    def add(self, member: Member, work: Deferred[Any]) -> None:
        """It was given to this one."""
        self._works.append(work)
        work.addCallback(lambda answer: self._answers.append((member, answer)))
        work.addErrback(self._failed, member)

    def _failed(self, failure: Failure, member: Member) -> None:
        if member.peer is not None and (self._may_fail or (self._may_be_lost and failure.check(DataPlaneLost))):
            member.lose(failure.getErrorMessage())
            return
        self.failures.append(failure)
        if len(self.failures) == 1 and not failure.check(CancelledError):
            for work in self._works:
                work.cancel()

    async def answers(self) -> list[Told]:
        """What all have answered, when each has come to its end."""
        await all_settled(self._works)
        if self.failures:
            self.failures[0].raiseException()
        return self._answers


class Party:
    """Those of one operation.

    @ivar operation: C{RELOAD} or C{SWITCHOVER}. @ivar back: it goes to the server before.
    @ivar own: this proxy's side. @ivar target: what the move goes to, once it is being prepared.
    @ivar disbanded: nobody gives orders any more.
    """

    target: Settings | None = None
    disbanded = False
    log = Logger(namespace="redisproxy.fleet")

    def __init__(self, operation: str, back: bool, name: str, own: Side, clock: IReactorTime) -> None:
        self.operation, self.back, self.own = operation, back, own
        self.members = [Member(name, own, None)]
        self._clock = clock

    def invite(self, peers: Iterable[Peer]) -> None:
        """These take part, too."""
        self.members += [Member(peer.name, peer, peer) for peer in peers]

    @property
    def peers(self) -> list[Member]:
        """All but this proxy."""
        return self.members[1:]

    # -- beginning and ending

    async def claim(self, members: Iterable[Member]) -> None:
        """Lead these from now on, one after the other: two that begin at once do so in the same order.

        @raise Rejected: one takes part in another operation. @raise DataPlaneLost: one is lost.
        """
        for member in members:
            if not member.claimed:
                member.claimed = True  # also when nobody waits for the answer any more
                try:
                    await self._work(member, self.give(Claim, operation=self.operation), 0.0)
                except Rejected:
                    member.claimed = False
                    raise

    async def dismiss(self, report: Answer) -> None:
        """It is over."""
        claimed = [member for member in self.peers if member.claimed and member.there]
        order = self.give(Dismiss, report=report)
        await all_settled([self._work(member, order, DISMISS_S).addErrback(self._gone, member) for member in claimed])

    def _gone(self, failure: Failure, member: Member) -> None:
        self.log.warn("{error}", error=failure.getErrorMessage())
        member.lose(failure.getErrorMessage())  # else it would wait for its dismissal

    def disband(self) -> None:
        """Nobody gives orders any more: all go on by themselves, as the servers say."""
        self.disbanded = True
        for member in self.peers:
            if member.claimed:
                member.lose("the operation was given up")

    # -- orders

    def give(self, order: type[Order], **arguments: Any) -> Callable[[Member], Deferred[Any]]:
        """An order, for L{each}."""
        return lambda member: member.takes.give(order, **arguments)

    def to_peers(self, order: type[Order], **arguments: Any) -> Callable[[Member], Deferred[Any]]:
        """An order for L{each}, which this proxy itself answers with None."""
        return lambda member: succeed(None) if member.peer is None else member.takes.give(order, **arguments)

    def prepare(
        self, server: str, settings: Settings, own: Callable[[], Deferred[None]]
    ) -> Callable[[Member], Deferred[Any]]:
        """The order to prepare a move away from `server`; each peer reads its own file, and this proxy has done so."""
        self.target, target = settings, str(settings.uplink.address)

        def prepare(member: Member) -> Deferred[Any]:
            if member.peer is None:
                return own()
            return member.takes.give(PrepareMove, server=server, target=target, back=self.back)

        return prepare

    async def each(
        self,
        order: Callable[[Member], Deferred[Any]],
        limit_s: float = 0.0,
        may_be_lost: bool = False,
        may_fail: bool = False,
    ) -> list[Told]:
        """Give an order to all that were claimed and are there; what each has answered.

        @param limit_s: who does not answer within this time is lost; 0: the order's own limit.
        @param may_be_lost: go on without who is lost. @param may_fail: also without who fails, which is lost then.
        @raise DataPlaneLost: one is lost, now or before. Any other failure of one is raised when all have come to
            their end; its text says whose it is.
        """
        if not (may_be_lost or may_fail):
            self._require_all()
        given = _Given(may_be_lost, may_fail)
        for member in [each for each in self.members if each.claimed and each.there]:
            if not given.failures:
                given.add(member, self._work(member, order, limit_s))
        return await given.answers()

    def _require_all(self) -> None:
        """
        @raise DataPlaneLost: one is not there any more.
        """
        if lost := [f"{each.name}: {each.lost}" for each in self.members if not each.there]:
            raise DataPlaneLost(f"a peer was lost: {'; '.join(lost)}")

    def _work(self, member: Member, order: Callable[[Member], Deferred[Any]], limit_s: float) -> Deferred[Any]:
        work = order(member)
        if limit_s and member.peer is not None:
            work.addTimeout(limit_s, self._clock)

        def failed(failure: Failure) -> Failure:
            if member.peer is None:
                return failure
            if failure.check(*OUT_OF_STEP):
                member.lose(why(failure, limit_s))
                return Failure(DataPlaneLost(f"the peer {member.name} was lost: {member.lost}"))
            return _named(failure, member.name)

        return work.addErrback(failed)

    def as_report(self) -> list[Answer]:
        """For the report of the operation: each peer's part in it."""
        return [member.as_report() for member in self.members]


def _named(failure: Failure, name: str) -> Failure:
    """The same failure, whose text says whose it is."""
    for kind in ERRORS:
        if isinstance(failure.value, kind):
            return Failure(kind(f"the peer {name}: {failure.value}"))
    return failure
