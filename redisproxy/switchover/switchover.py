"""One switchover from its beginning to its end: the sequence of the steps, and what is told when one fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, TimeoutError
from twisted.internet.interfaces import IReactorTime

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.net.deferreds import to_the_end
from redisproxy.net.errors import UplinkError
from redisproxy.switchover.catching_up import CatchingUp
from redisproxy.switchover.changeover import Changeover
from redisproxy.switchover.context import Context
from redisproxy.switchover.pause import Pause
from redisproxy.switchover.replication import Replication
from redisproxy.switchover.report import Journal, Report, SwitchoverFailed
from redisproxy.switchover.rollback import Rollback

if TYPE_CHECKING:
    from redisproxy.config import SwitchoverSettings
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.switchover.both_servers import BothServers
    from redisproxy.switchover.cut import Cut


class Switchover:
    """One switchover from the uplink in force to the one in the configuration file.

    @ivar journal: what it tells of itself.
    """

    def __init__(
        self,
        servers: BothServers,
        dataplane: DataPlane,
        cut: Cut,
        settings: SwitchoverSettings,
        clock: IReactorTime,
        dry_run: bool = False,
    ) -> None:
        """
        @param dataplane: with the new settings prepared; whoever has prepared them abandons them if it fails.
        """
        self.journal = Journal(str(servers.old_uplink.address), str(servers.new_uplink.address), clock)
        pause = Pause(cut, settings.pause_budget_ms / 1000, clock)
        context = Context(servers, dataplane, cut, pause, settings, self.journal, clock)
        self._servers = servers
        self._move = dataplane.move
        self._settings = settings
        self._dry_run = dry_run
        self._replication = Replication(context)
        self._catching_up = CatchingUp(context)
        self._changeover = Changeover(context)
        self._rollback = Rollback(context)

    @property
    def report(self) -> Report:
        """What has happened so far, and in the end."""
        return self.journal.report

    async def run(self) -> Report:
        """Carry it out.

        @raise SwitchoverFailed: it was refused or rolled back, or it is unknown what became of it, because the data
            plane was lost after the promotion.
        @raise CancelledError: the proxy is stopped, and it was rolled back. Once the clients are on the new server that
            is too late.
        """
        try:
            await self._run()
        except BaseException as error:
            self.report["error"] = self._explain(error)
            refused, rolled_back = getattr(error, "refused", False), await self._rollback.run()
            self.report["result"] = "refused" if refused else "rolled_back" if rolled_back else "unknown"
            if isinstance(error, (UplinkError, DataPlaneLost, TimeoutError)):
                raise SwitchoverFailed(self.report["error"], late=isinstance(error, TimeoutError)) from error
            raise
        finally:
            self._servers.close()
        return self.report

    async def _run(self) -> None:
        external, step = self._settings.mode == "external", self.journal.step
        with step("preflight"):
            await (self._replication.look_external() if external else self._replication.look())
        if self._dry_run:
            self.report["result"] = "dry_run"
            return
        if not external:
            await self._replicate()
        with step("connect"):
            await self._move.connect()
        await (self._changeover.run_external() if external else self._changeover.run())
        self.report["result"] = "done"
        if not external:
            with step("finish"):
                await to_the_end(self._rollback.finish())

    async def _replicate(self) -> None:
        with self.journal.step("replicate"):
            await self._replication.begin()
        with self.journal.step("catch up"):
            await self._catching_up.wait()

    def _explain(self, error: BaseException) -> str:
        step = self.report["step"]
        if isinstance(error, TimeoutError):
            return self._what_took_the_time(step)
        if isinstance(error, CancelledError):
            return f"stopped while at: {step}"
        if isinstance(error, (SwitchoverFailed, UplinkError, DataPlaneLost)):
            return str(error)
        return f"internal error while at: {step}; see the log"

    def _what_took_the_time(self, step: str) -> str:
        text = (
            f"the pause would have become longer than {self._settings.pause_budget_ms} ms (switchover.pause_budget_ms)"
        )
        took = ", ".join(f"{each['name']} {each['ms']:.0f} ms" for each in self.report["steps"][-4:])
        stuck = self._changeover.stuck
        if stuck:
            names = ", ".join(f"{each.cmd or 'a command'} of client {each.id} ({each.addr})" for each in stuck[:5])
            return f"{text}: {len(stuck)} clients had commands in flight: {names}"
        return f"{text} at the step {step} ({took})"
