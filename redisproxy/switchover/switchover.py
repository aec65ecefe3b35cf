"""The switchover: one coroutine that moves the data and the clients from the old Redis server to the new one.

Preflight, replicate, catch up, pause, drain, fence, verify, promote, swap, resume. Whatever fails before the gate opens
on the new server is rolled back: the old one takes writes again, the gate opens on it, and the new configuration is not
taken. No client is dropped for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from twisted.internet.defer import TimeoutError
from twisted.internet.interfaces import IReactorTime

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.net.deferreds import carried_out, shielded
from redisproxy.net.errors import UplinkError
from redisproxy.switchover.catch_up import CatchUp
from redisproxy.switchover.copy_route import CopyRoute
from redisproxy.switchover.effects import Effects
from redisproxy.switchover.failure import SwitchoverFailed, explain, refuse
from redisproxy.switchover.inspection import Findings, Inspection
from redisproxy.switchover.pause import Pause
from redisproxy.switchover.report import Report, SwitchoverReport
from redisproxy.switchover.rollback import Rollback
from redisproxy.switchover.takeover import Takeover
from redisproxy.switchover.way_back import WayBack, keep_way_back, left_behind

if TYPE_CHECKING:
    from redisproxy.config import Address, SwitchoverSettings
    from redisproxy.copying.interface import Copying
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.switchover.both_servers import BothServers
    from redisproxy.switchover.carry import Carry
    from redisproxy.switchover.control_plane import ControlPlane


class Switchover:
    """One switchover from the uplink in force to the one in the configuration file.

    @param dataplane: with the new settings prepared; whoever has prepared them abandons them if this fails.
    @param copying: what copies, if that is how the data moves.
    @ivar effects: what it has changed so far, and whether an operator has aborted it.
    @ivar way_back: whether the old server follows the new one afterwards.
    """

    def __init__(
        self,
        servers: BothServers,
        dataplane: DataPlane,
        control_plane: ControlPlane,
        settings: SwitchoverSettings,
        clock: IReactorTime,
        copying: Copying,
        dry_run: bool = False,
    ) -> None:
        self._servers = servers
        self._dataplane = dataplane
        self._control_plane = control_plane
        self._settings = settings
        self._clock = clock
        self._dry_run = dry_run
        self._report = SwitchoverReport(clock, servers.old.address, servers.new.address)
        self._pause = Pause(control_plane, self._report, settings.pause_budget_ms, clock)
        self.effects = Effects()
        self._hooks = servers.hooks(settings.hooks, self._report, self.effects)
        self.way_back = WayBack()
        self._findings: Findings | None = None
        self._copying = copying
        self._by_copy: CopyRoute | None = None

    @property
    def report(self) -> Report:
        """What has happened so far, and in the end."""
        return self._report.fields

    @property
    def unfinished(self) -> Address | None:
        """The server that was to have the data and the clients; None if the clients are there."""
        return None if self.effects.swapped else self._servers.new.address

    def current(self) -> Report:
        """What the pages show while it runs."""
        return self._report.current()

    async def run(self) -> Report:
        """Carry it out.

        @raise SwitchoverFailed: it was refused or rolled back, or it is unknown what became of it, because the data
            plane was lost after the promotion.
        @raise CancelledError: it was aborted, or the proxy is stopped, and it was rolled back. Once the clients are on
            the new server that is too late.
        """
        try:
            await self._run_as_told()
        except BaseException as error:
            self.effects.undoing = True
            budget_ms, aborted = self._settings.pause_budget_ms, self.effects.aborted
            why = explain(error, self.report, budget_ms, self._pause.stuck, aborted)
            refused = self._report.failed(why, getattr(error, "refused", False))
            rolled_back = await self._roll_back()
            self.report["result"] = "refused" if refused else "rolled_back" if rolled_back else "unknown"
            if isinstance(error, (UplinkError, DataPlaneLost, TimeoutError)):
                raise SwitchoverFailed(self.report["error"], late=isinstance(error, TimeoutError)) from error
            raise
        finally:
            if self._by_copy is not None:
                await shielded(self._by_copy.end())
            self._servers.close()
        return self.report

    async def _run_as_told(self) -> None:
        mode = self._settings.mode
        self._report.begin(mode, self._dry_run)
        refuse(await self._servers.watchers.faults())
        if mode == "external":
            await self._run_external()
        elif mode == "copy":
            await self._run_copy()
        elif mode == "auto":
            await self._run_or_copy()
        else:
            await self._run()

    async def _run_or_copy(self) -> None:
        """Replicate; where the preflight refuses that, nothing has been changed: copy."""
        try:
            await self._run()
        except SwitchoverFailed as error:
            if not error.refused:
                raise
            self._report.fields["copied_because"] = str(error)
            await self._run_copy()

    async def _run(self) -> None:
        with self._report.step("preflight"):
            inspection = Inspection(self._servers, self._settings, self._hooks, self._report)
            findings = self._findings = await inspection.inspect(self._dataplane.clients)
        if self._dry_run:
            self.report["result"] = "dry_run"
            return
        with self._report.step("replicate"):
            await self._replicate(findings)
        with self._report.step("catch up"):
            catch_up = CatchUp(self._servers, findings, self._settings, self._hooks, self._report, self._clock)
            history = await catch_up.until_near()
        await self._carry(findings.carry)
        with self._report.step("connect"):
            await self._dataplane.move.connect()
        takeover = Takeover(self._servers, findings, history, self.effects, self._hooks, self._report, self._clock)
        await self._move(takeover)
        self.report["result"] = "done"
        with self._report.step("finish"):
            await shielded(takeover.finish())
        await self._keep_way_back()

    async def _replicate(self, findings: Findings) -> None:
        if not findings.follows:
            self.effects.following = True
            await findings.setup.begin(self._servers.at_new)
            if self._hooks.replicates:
                await self._servers.reach_new()  # its service may have closed the connection

    async def _carry(self, carry: Carry) -> None:
        if not carry.needed:
            return
        with self._report.step("carry"):
            self.effects.carried = True
            await carry.begin(self._servers.at_new)
        self.report["carried"] = carry.carried
        self._report.warn(carry.warnings())

    async def _move(self, takeover: Takeover) -> None:
        move, pause, report = self._dataplane.move, self._pause, self._report
        await pause.begin()
        with report.step("drain"):
            await pause.drain(self._dataplane.gate)
        with report.step("fence"):
            await pause.within(takeover.fence(pause.budget_ms))
            await pause.within(move.prove_watches())
        with report.step("verify"):
            await pause.within(takeover.verify())
        self.effects.require_wanted()
        with report.step("promote"):
            await pause.within(takeover.promote())
            await pause.within(move.bring())
        await self._resume_on_the_new()

    async def _resume_on_the_new(self, then: Callable[[], Awaitable[None]] | None = None) -> None:
        with self._report.step("swap"):
            # There is no way back once this is ordered, and whoever gave up would not know where the clients are.
            await carried_out(self._swap(then))

    async def _swap(self, then: Callable[[], Awaitable[None]] | None) -> None:
        self.effects.swap_ordered = True
        await self._control_plane.swap()
        self.effects.swapped = True
        if then is not None:
            await then()
        await self._pause.end_at_the_new()

    async def _keep_way_back(self) -> None:
        self.way_back = await shielded(left_behind(self._servers))
        if not self._settings.keep_way_back:
            return
        with self._report.step("way back"):
            self.way_back = await shielded(keep_way_back(self._servers, self._settings, self.way_back))
        self.report["way_back"] = self.way_back.as_report()
        self._report.warn(self.way_back.warnings())

    async def _roll_back(self) -> bool:
        if self.effects.swapped:
            return True
        findings = self._findings if self._by_copy is None else self._by_copy.findings
        what = self._servers, self._dataplane.move, self._control_plane, findings, self.effects, self._hooks
        return await Rollback(*what, self._pause, self._report, self._clock, self._by_copy).roll_back()

    # -- copy mode

    async def _run_copy(self) -> None:
        route = self._by_copy = CopyRoute(
            self._servers, self._copying, self._dataplane.notes, self._settings, self.effects, self._report, self._clock
        )
        with self._report.step("preflight"):
            findings = await route.inspect(self._dataplane.clients)
        if self._dry_run:
            self.report["result"] = "dry_run"
            await self._roll_back()
            return
        with self._report.step("copy"):
            await route.copy()
        await self._carry(findings.carry)
        with self._report.step("connect"):
            await self._dataplane.move.connect()
            await route.near()
        await self._move_by_copy(route)
        self.report["result"] = "done"
        with self._report.step("finish"):
            await shielded(route.finish())
        await self._keep_way_back()

    async def _move_by_copy(self, route: CopyRoute) -> None:
        move, pause, report = self._dataplane.move, self._pause, self._report
        await pause.begin()
        with report.step("drain"):
            await pause.drain(self._dataplane.gate)
        with report.step("fence"):
            if await route.fence(pause):
                await pause.within(move.prove_watches())
        with report.step("rest"):
            await route.rest(pause)
        with report.step("verify"):
            await route.verify(pause)
            await pause.within(move.bring())
            self.effects.require_wanted()
            await route.mark_copied(pause)
        await self._resume_on_the_new(lambda: route.unmark(pause, self._control_plane.others_left_behind()))

    # -- external mode: somebody else moves the data

    async def _run_external(self) -> None:
        with self._report.step("preflight"):
            await Inspection(self._servers, self._settings, self._hooks, self._report).inspect_new_server()
        if self._dry_run:
            self.report["result"] = "dry_run"
            return
        with self._report.step("connect"):
            await self._dataplane.move.connect()
        await self._move_external()
        self.report["result"] = "done"

    async def _move_external(self) -> None:
        await self._pause.begin()
        with self._report.step("drain"):
            await self._pause.drain(self._dataplane.gate)
        with self._report.step("wait for the operator"):
            limit_s = self._settings.external_deadline_ms / 1000
            try:
                await self._control_plane.told_to_go_on().addTimeout(limit_s, self._clock)
            except TimeoutError:
                raise SwitchoverFailed("nobody said go on within switchover.external_deadline_ms", late=True) from None
        with self._report.step("verify"):
            if (await self._servers.at_new.replication()).role != "master":
                raise SwitchoverFailed("the new server is a replica still")
            await self._servers.at_new.probe_write()
            await self._dataplane.move.bring()
        self.effects.require_wanted()
        await self._resume_on_the_new()
