"""A switchover that copies: the steps between which the data goes, key by key, from the old server to the new one.

Preflight, copy, connect, pause, drain, fence, copy the rest, verify, swap, resume. The clients stay on the old server,
which is the only one written to, until the swap. The new server is marked as finished when it has everything; that is
what a promotion is where replication brings the data.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from twisted.internet.defer import TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from redisproxy.net.errors import UplinkError
from redisproxy.servers.copy_marker import MARKER, Marked, mark, unmark
from redisproxy.servers.writers import FenceKind
from redisproxy.switchover.copy_inspection import CopyFindings, CopyInspection
from redisproxy.switchover.failure import SwitchoverFailed
from redisproxy.switchover.notifying import Notifying
from redisproxy.switchover.passed_notes import PassedNotes

if TYPE_CHECKING:
    from redisproxy.config import SwitchoverSettings
    from redisproxy.copying.interface import Copying
    from redisproxy.dataplane.interface import ClientOrders, NoteOrders
    from redisproxy.switchover.both_servers import BothServers
    from redisproxy.switchover.effects import Effects
    from redisproxy.switchover.pause import Pause
    from redisproxy.switchover.report import SwitchoverReport

POLL_S = 0.2
VERIFY_SHARE, VERIFY_ALL_SHARE = 0.005, 0.1
"""The part of the pause budget for comparing values; with C{all} for those that have changed last."""
MARK_LASTS_MS = 120_000
"""A data plane that has lost its control plane decides within a shorter time."""
SHOWN = 10
_STAYS = f"the key {MARKER} stays at the new server for {MARK_LASTS_MS // 1000} s: {{reason}}"
_STREAMS_LEFT = (
    "there was no time or memory to compare the groups of all streams: what writers that bypass the proxy, and scripts"
    " that do not declare their keys, did there (XREADGROUP, XACK) while it copied may be missing at the new server"
)


class CopyRoute:
    """What a switchover does otherwise when it copies.

    @param notes: of what clients change without the old server telling of it.
    @ivar findings: of the preflight; None before it.
    """

    def __init__(
        self,
        servers: BothServers,
        copying: Copying,
        notes: NoteOrders,
        settings: SwitchoverSettings,
        effects: Effects,
        report: SwitchoverReport,
        clock: IReactorTime,
    ) -> None:
        self.findings: CopyFindings | None = None
        self._servers = servers
        self._copying = copying
        self._settings = settings
        self._effects = effects
        self._report = report
        self._clock = clock
        self._noted = PassedNotes(notes, copying, clock)
        self._is_marked = False
        self._notifying = Notifying(servers, report)
        self._notify: tuple[str, ...] = ()
        self._inspection = CopyInspection(servers, copying, settings, report)

    async def inspect(self, clients: ClientOrders) -> CopyFindings:
        """The step preflight.

        @raise SwitchoverFailed: it may not begin. @raise UplinkError: a server can't be reached.
        """
        findings = self.findings = await self._inspection.inspect(clients)
        if findings.new.fenced:
            self._effects.lifted = True
            await self._servers.at_new.unfence(findings.new)
        self._notify = (await self._inspection.survey()).notify
        return findings

    async def copy(self) -> None:
        """The step copy: bring everything to the new server beside the load.

        @raise SwitchoverFailed: the new server can't hold it. @raise UplinkError: it can't be copied.
        """
        assert self.findings is not None
        self._effects.copying = True
        self._report.fields["copy"].pop("seconds", None)  # an estimate; what it takes is known when it is done
        if self._notify:
            await self._notifying.begin(*self._notify)
        await self._noted.begin()
        showing = LoopingCall(self._show)
        showing.clock = self._clock
        showing.start(POLL_S).addErrback(lambda _: None)  # what fails the order for progress fails the copy as well
        try:
            losses = await self._copying.copy(self.findings.replace)
        finally:
            if showing.running:
                showing.stop()
        self._require_no(losses)

    async def near(self) -> None:
        """Before the clients are held: see that what has happened since L{copy} still fits the pause.

        @raise UplinkError: it can't be copied.
        """
        await self._noted.pass_on_now()
        await self._copying.near()

    async def _show(self) -> None:
        self._report.progress = asdict(await self._copying.progress())

    def _require_no(self, losses: tuple[str, ...]) -> None:
        if not losses:
            return
        shown = "\n".join([*losses[:SHOWN], *([f"and {len(losses) - SHOWN} more"] if len(losses) > SHOWN else [])])
        if not self._settings.accept_losses:
            raise SwitchoverFailed(
                f"the new server can't hold all that the old one has:\n{shown}\nif that is right, set"
                " switchover.accept_losses to true"
            )
        self._report.warn([f"the new server does not hold: {shown}"])

    # -- behind the gate

    async def fence(self, pause: Pause) -> bool:
        """The step fence: keep writers from the old server, as far as it allows that; whether it takes no writes now.

        @raise SwitchoverFailed: it is not the primary that it was. @raise UplinkError: it did not do it.
        """
        findings, at_old = self.findings, self._servers.at_old
        assert findings is not None
        if findings.fence is FenceKind.NONE:
            return False
        self._effects.fenced = True
        if findings.fence is FenceKind.SETTING:
            state = await pause.within(at_old.fence(findings.old, pause.budget_ms))
        else:
            await pause.within(at_old.pause_writes(pause.budget_ms))
            state = await pause.within(at_old.replication())
        if state.role != "master":
            raise SwitchoverFailed("the old server has changed its role during the switchover")
        return True

    async def rest(self, pause: Pause) -> None:
        """The step rest: copy what has changed last.

        @raise SwitchoverFailed: the new server can't hold it. @raise UplinkError: it can't be copied.
        """
        await pause.within(self._noted.pass_on())
        rest = await pause.within(self._copying.copy_rest())
        took_s = sum(step["ms"] for step in self._report.fields["steps"] if step["name"] == "copy") / 1000
        known = {**asdict(await self._copying.progress()), "rest": rest.keys, "seconds": round(took_s, 1)}
        self._report.fields["copy"] |= known
        if not rest.all_streams:
            self._report.warn([_STREAMS_LEFT])
        self._require_no(rest.losses)

    async def verify(self, pause: Pause) -> None:
        """The step verify: see that both servers have the same.

        @raise SwitchoverFailed: they have not, or the new one takes no writes. @raise UplinkError: one does not answer.
        """
        share = VERIFY_ALL_SHARE if self._settings.verify == "all" else VERIFY_SHARE
        proof = await pause.within(self._copying.verify(pause.budget_ms / 1000 * share))
        self._report.fields["verified"] = {"depth": self._settings.verify, **asdict(proof)}
        if proof.differences:
            shown = "\n".join(proof.differences[:SHOWN])
            raise SwitchoverFailed(f"the new server differs from the old one after the copy:\n{shown}")
        await pause.within(self._servers.at_new.probe_write())

    async def mark_copied(self, pause: Pause) -> None:
        """Have the new server tell that clients may go there: the data plane asks it if this process is lost.

        @raise UplinkError: it did not take that.
        """
        self._effects.copied = self._is_marked = True
        await pause.within(mark(self._servers.at_new, Marked.COPIED, self._servers.old.address, MARK_LASTS_MS))

    async def unmark(self, pause: Pause, stays: bool) -> None:
        """Remove that when the data plane goes there, before clients can see it, if there is time for it.

        @param stays: somebody was lost, who has to find it when the servers are asked; it goes by itself later.
        """
        if stays:
            self._is_marked = False
            self._report.warn([_STAYS.format(reason="a peer that was lost looks for it")])
            return
        try:
            await pause.within(unmark(self._servers.at_new))
            self._is_marked = False
        except (UplinkError, TimeoutError):
            pass

    async def end(self) -> None:
        """Whatever has come of it: copy and note no more."""
        await self._copying.stop()
        await self._noted.end()
        await self._notifying.end()

    async def finish(self) -> None:
        """The step finish: tidy up when clients are at work again."""
        try:
            await self._servers.at_old.end_pause()
        except UplinkError as error:
            self._report.warn([f"the old server is gone: {error}"])
        try:
            if self._is_marked:
                await unmark(await self._servers.reach_new())
        except UplinkError as error:
            self._report.warn([_STAYS.format(reason=error)])
        await self._servers.watchers.watch_new(self._report)

    # -- undoing

    def undoing(self) -> list[tuple[Callable[[int], Awaitable[None]], str]]:
        """What is to be undone at the new server, each with what to tell an operator when that fails."""
        effects = self._effects
        found: list[tuple[Callable[[int], Awaitable[None]], str]] = []
        if effects.copied:
            found.append((self._unfinished, "the new server may be marked as finished: empty it before you retry"))
        elif effects.copying:
            found.append((self._unfinished, "the new server may hold keys without the mark of an unfinished copy"))
        if effects.lifted:
            found.append((self._fence_new, "the new server was fenced before, and is not any more"))
        return found

    async def _unfinished(self, attempt: int) -> None:
        new = await self._servers.reach_new() if attempt else self._servers.at_new
        await mark(new, Marked.COPYING, self._servers.old.address)

    async def _fence_new(self, attempt: int) -> None:
        assert self.findings is not None
        new = await self._servers.reach_new() if attempt else self._servers.at_new
        await new.fence_again(self.findings.new)

    def left_behind(self) -> str:
        """What is on the new server, for the report."""
        if not self._effects.copying:
            return ""
        keys = self._report.progress.get("keys", 0)
        return (
            f"the new server holds an unfinished copy (about {keys} keys), which the next attempt replaces; the old"
            " server is in use as before"
        )
