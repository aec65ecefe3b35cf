"""The switchover: one coroutine that moves the data and the clients from the old Redis server to the new one.

Preflight, replicate, catch up, pause, drain, fence, verify, promote, swap, resume. Whatever fails before the gate opens
on the new server is rolled back: the old one takes writes again, the gate opens on it, and the new configuration is not
taken. No client is dropped for it. The rule behind the order: a write is acknowledged by the old server only before the
fence, its offset is sampled after the fence, and the new one is promoted only when it has applied that offset.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, TimeoutError

from redisproxy.net.deferreds import shielded
from redisproxy.net.errors import UplinkError
from redisproxy.switchover.moving import Moving
from redisproxy.switchover.replicating import Replicating
from redisproxy.switchover.undoing import Undoing
from redisproxy.switchover.world import Report, SwitchoverFailed, World

__all__ = ["Report", "Switchover", "SwitchoverFailed", "World"]


class Switchover(Replicating, Moving, Undoing):
    """One switchover from the uplink in force to the one in the configuration file."""

    async def run(self) -> Report:
        """Carry it out.

        @raise SwitchoverFailed: it was refused or rolled back.
        @raise CancelledError: the proxy is stopped, and it was rolled back. Once the clients are on the new server that
            is too late.
        """
        try:
            await self._run()
        except BaseException as error:
            self.report["error"] = self._explain(error)
            await self._roll_back()
            self.report["result"] = "refused" if getattr(error, "refused", False) else "rolled_back"
            if isinstance(error, (UplinkError, TimeoutError)):
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
            await self._world.connect()
        await (self._move_external() if external else self._move())
        self.report["result"] = "done"
        if not external:
            with self._step("finish"):
                await shielded(self._finish())

    def _explain(self, error: BaseException) -> str:
        step = self.report["step"]
        if isinstance(error, TimeoutError):
            return self._what_took_the_time(step)
        if isinstance(error, CancelledError):
            return f"stopped while at: {step}"
        if isinstance(error, (SwitchoverFailed, UplinkError)):
            return str(error)
        return f"internal error while at: {step}; see the log"

    def _what_took_the_time(self, step: str) -> str:
        text = (
            f"the pause would have become longer than {self._settings.pause_budget_ms} ms (switchover.pause_budget_ms)"
        )
        took = ", ".join(f"{each['name']} {each['ms']:.0f} ms" for each in self.report["steps"][-4:])
        stuck = self._world.in_flight() if step == "drain" else []
        if stuck:
            names = ", ".join(
                f"{each['cmd'] or 'a command'} of client {each['id']} ({each['addr']})" for each in stuck[:5]
            )
            return f"{text}: {len(stuck)} clients had commands in flight: {names}"
        return f"{text} at the step {step} ({took})"
