"""A failover that the proxy has the sentinels carry out, with nothing lost.

Preflight, drain, fence, verify, promote, connect, swap, finish. The sentinels are told to promote a replica only when
the primary is fenced, and all replicas that they could choose have everything it has ever acknowledged. Until then all
of it can be undone. Afterwards the clients go to whom they have promoted; if that is not known in time, the order is
taken back, and only when it certainly is, the primary takes writes again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import TimeoutError, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from redisproxy.dataplane.interface import DataPlaneLost, Rejected
from redisproxy.net.deferreds import all_settled, carried_out, shielded
from redisproxy.net.errors import UplinkError
from redisproxy.sentinel.failing_over import order
from redisproxy.servers.control_connection import ServerSaidNo
from redisproxy.servers.state import ServerState
from redisproxy.switchover.effects import Effects
from redisproxy.switchover.failure import SwitchoverFailed, explain
from redisproxy.switchover.former_primary import FormerPrimary
from redisproxy.switchover.pause import Pause
from redisproxy.switchover.report import Report, SwitchoverReport
from redisproxy.switchover.taken_back import Undoing

if TYPE_CHECKING:
    from redisproxy.config import SwitchoverSettings, TcpAddress
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.switchover.control_plane import FailoverControlPlane
    from redisproxy.switchover.sentinel_group import SentinelGroup

POLL_S = 0.005
WRITABLE_S = 1.0


class SentinelFailover:
    """One failover.

    @ivar effects: what it has changed so far; C{promoted} from the order to the sentinels on.
    """

    def __init__(
        self,
        group: SentinelGroup,
        dataplane: DataPlane,
        control_plane: FailoverControlPlane,
        settings: SwitchoverSettings,
        clock: IReactorTime,
        dry_run: bool = False,
    ) -> None:
        self.effects = Effects()
        self._group = group
        self._dataplane = dataplane
        self._control_plane = control_plane
        self._clock = clock
        self._budget_ms = settings.pause_budget_ms
        self._dry_run = dry_run
        self._report = SwitchoverReport(clock, group.primary, group.primary)
        self._report.fields["kind"] = "failover"
        self._pause = Pause(control_plane, self._report, settings.pause_budget_ms, clock)
        self._former = FormerPrimary(group, self._report, clock)
        self._new: TcpAddress | None = None

    @property
    def report(self) -> Report:
        """What has happened so far, and in the end."""
        return self._report.fields

    def current(self) -> Report:
        """What the pages show while it runs."""
        return self._report.current()

    async def run(self) -> Report:
        """Carry it out.

        @raise SwitchoverFailed: it was refused or undone; or a replica was promoted and the clients could not go there,
            which is left to whoever follows the sentinels.
        @raise CancelledError: it was aborted, or the proxy is stopped, and it was undone.
        """
        try:
            await self._run()
        except BaseException as error:
            self.effects.undoing = True
            aborted, stuck = self.effects.aborted, self._pause.stuck
            why = explain(error, self.report, self._budget_ms, stuck, aborted)
            refused = self._report.failed(why, getattr(error, "refused", False))
            stays = await shielded(self._undo())
            self.report["result"] = "refused" if refused else "rolled_back" if stays else "unknown"
            if isinstance(error, (UplinkError, DataPlaneLost, Rejected, TimeoutError)):
                raise SwitchoverFailed(self.report["error"], late=isinstance(error, TimeoutError)) from error
            raise
        finally:
            self._group.close()
        return self.report

    async def _run(self) -> None:
        self._report.begin("by Sentinel", self._dry_run)
        with self._report.step("preflight"):
            self._report.warn(await self._group.look())
            self.report["to"] = str(self._group.candidates[0])
        if self._dry_run:
            self.report["result"] = "dry_run"
            return
        await self._former.lift_fences_of_replicas()
        await self._control_plane.aim(self._group.candidates[0])
        await self._pause.begin()
        with self._report.step("drain"):
            await self._pause.drain(self._dataplane.gate)
            await self._pause.within(self._control_plane.others_drained())
        with self._report.step("fence"):
            await self._pause.within(self._fence())
            await self._pause.within(self._dataplane.move.prove_watches())
            await self._pause.within(self._control_plane.others_proven())
        with self._report.step("verify"):
            await self._pause.within(self._verify())
            await self._pause.within(self._control_plane.others_expect_promotion())
        self.effects.require_wanted()
        # From the order on nobody can stop it, and it ends by itself.
        await carried_out(self._promote())

    async def _fence(self) -> None:
        self.effects.fenced = True
        old = self._group.old
        state = await (await self._group.at(self._group.primary)).fence(old, self._budget_ms)
        self.report["old_offset"] = state.offset
        if state.role != "master" or state.replication_id != old.replication_id:
            raise SwitchoverFailed("the primary has changed its role during the failover")

    async def _verify(self) -> None:
        """Wait until every replica that the sentinels could choose has everything."""
        while True:
            states = await self._group.states()
            behind = [each for each, state in states.items() if not self._has_everything(each, state)]
            if not behind:
                return
            self._report.progress = {"waits_for": ", ".join(map(str, behind))}
            await deferLater(self._clock, POLL_S)

    def _has_everything(self, address: TcpAddress, state: ServerState | UplinkError) -> bool:
        if isinstance(state, UplinkError):
            raise SwitchoverFailed(f"a replica that the sentinels could choose does not answer: {state}")
        if state.role != "slave" or state.replication_id != self._group.old.replication_id:
            raise SwitchoverFailed(f"the replica {address} does not follow the primary any more")
        return state.offset >= int(self.report["old_offset"])

    # -- from the order to the sentinels on

    async def _promote(self) -> None:
        with self._report.step("promote"):
            self.effects.promoted = True
            await self._order()
            address, state = await self._pause.within(self._promotion())
            self._take_note(address, state)
        with self._report.step("connect"):
            await self._connect(address)
        with self._report.step("swap"):
            await self._swap()
        self.report["result"] = "done"
        with self._report.step("finish"):
            await self._former.finish(address)
            await self._control_plane.others_there()
        if self._former.has_more:
            raise SwitchoverFailed(self._former.loss(address))

    async def _order(self) -> None:
        try:
            await order(self._group.watched, self._group.name)
        except ServerSaidNo:
            self.effects.promoted = False
            raise
        except UplinkError as error:
            self._report.warn([f"the order may have been carried out: {error}"])

    async def _promotion(self) -> tuple[TcpAddress, ServerState]:
        while (found := await self._group.promoted()) is None:
            await deferLater(self._clock, POLL_S)
        return found

    def _take_note(self, address: TcpAddress, state: ServerState) -> None:
        """The replica there was promoted; it may be another one than was expected."""
        self._new = address
        had = state.number("second_repl_offset") - 1 if state.former_id == self._group.old.replication_id else 0
        self.report["to"], self.report["new_offset"] = str(address), had
        self._former.has_more = had < int(self.report["old_offset"])

    async def _connect(self, address: TcpAddress) -> None:
        """Log in at the new primary; before, it would have closed these connections when it was promoted."""
        move = self._dataplane.move
        if address != self._group.candidates[0]:
            await self._control_plane.aim(address)
        await move.connect()
        await self._require_promoted(address)
        await self._bring(address)
        await self._former.follow(address)
        await self._until_writable(address)

    async def _bring(self, address: TcpAddress) -> None:
        """At once, and all proxies together: one that is lost meanwhile goes there by itself, and its clients write.

        @raise DataPlaneLost, Rejected, UplinkError: one of them could not.
        """
        others = ensureDeferred(self._control_plane.others_bring_to(address))
        for good, result in await all_settled([self._dataplane.move.bring(), others]):
            if not good:
                result.raiseException()

    async def _require_promoted(self, address: TcpAddress) -> None:
        """The other sentinels make it a replica again if the one that has promoted it dies before it has told them.

        Both would follow each other, if the former primary was made to follow it then.

        @raise SwitchoverFailed: it is none any more.
        """
        if (await self._group.replication_of(address)).role != "master":
            self._new = None
            raise SwitchoverFailed(
                f"{address} was promoted, and is a replica again: the other sentinels knew nothing of it"
            )

    async def _until_writable(self, address: TcpAddress) -> None:
        ends = self._clock.seconds() + WRITABLE_S
        while True:
            try:
                await (await self._group.at(address)).probe_write()
                return
            except ServerSaidNo as error:
                if self._clock.seconds() >= ends:
                    self._report.warn([f"the new primary takes no writes yet: {error}"])
                    return
            await deferLater(self._clock, POLL_S)

    async def _swap(self) -> None:
        self.effects.swap_ordered = True
        await self._control_plane.swap()
        self.effects.swapped = True
        await self._pause.end_at_the_new()

    # -- when it failed

    async def _undo(self) -> bool:
        """Whether the clients are where they were, or safely at the new primary; they are let go in any case."""
        if self.effects.swapped:
            return False  # the clients are at the new primary, and there is something to be said of it
        undoing = Undoing(self._group, self._control_plane, self._pause, self._report, self._clock)
        if self.effects.swap_ordered:
            await undoing.leave_unknown(self._new)
            return False
        if self.effects.promoted and self._new is None:
            self._new = await undoing.take_back_order()
            self.effects.promoted = self._new is not None or not undoing.order_taken_back
        if self.effects.promoted:
            await undoing.leave_to_follower(self._new)
            return False
        await undoing.stay(self.effects.fenced)
        return True
