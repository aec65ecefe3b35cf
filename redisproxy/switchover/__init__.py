"""The switchover: one coroutine that moves the data and the clients from the old Redis server to the new one.

Preflight, replicate, catch up, pause, drain, fence, verify, promote, swap, resume. Whatever fails before the gate opens
on the new server is rolled back: the old one takes writes again, the gate opens on it, and the new configuration is not
taken. No client is dropped for it. The rule behind the order: a write is acknowledged by the old server only before the
fence, its offset is sampled after the fence, and the new one is promoted only when it has applied that offset.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, TimeoutError

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.net.deferreds import to_the_end
from redisproxy.net.errors import UplinkError
from redisproxy.switchover.moving import Moving
from redisproxy.switchover.replicating import Replicating
from redisproxy.switchover.report import Report, SwitchoverFailed
from redisproxy.switchover.undoing import Undoing

__all__ = ["Report", "Switchover", "SwitchoverFailed"]


class Switchover(Replicating, Moving, Undoing):
    """One switchover from the uplink in force to the one in the configuration file."""

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
            refused, rolled_back = getattr(error, "refused", False), await self._roll_back()
            self.report["result"] = "refused" if refused else "rolled_back" if rolled_back else "unknown"
            if isinstance(error, (UplinkError, DataPlaneLost, TimeoutError)):
                raise SwitchoverFailed(self.report["error"], late=isinstance(error, TimeoutError)) from error
            raise
        finally:
            for server in (self._old, self._new):
                if server is not None:
                    server.close()
        return self.report

    async def _run(self) -> None:
        external = self._settings.mode == "external"
        with self._step("preflight"):
            await (self._look_external() if external else self._look())
        if self._dry_run:
            self.report["result"] = "dry_run"
            return
        if not external:
            with self._step("replicate"):
                await self._replicate()
            with self._step("catch up"):
                await self._catch_up()
        with self._step("connect"):
            await self._dataplane.move.connect()
        await (self._move_external() if external else self._move())
        self.report["result"] = "done"
        if not external:
            with self._step("finish"):
                await to_the_end(self._finish())

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
        stuck = self._stuck
        if stuck:
            names = ", ".join(f"{each.cmd or 'a command'} of client {each.id} ({each.addr})" for each in stuck[:5])
            return f"{text}: {len(stuck)} clients had commands in flight: {names}"
        return f"{text} at the step {step} ({took})"
