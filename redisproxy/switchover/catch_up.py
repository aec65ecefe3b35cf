"""The step catch up: waits until the new server has nearly everything that the old one has; clients go on meanwhile."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from redisproxy.servers.state import ServerState
from redisproxy.switchover.failure import SwitchoverFailed

if TYPE_CHECKING:
    from redisproxy.config import SwitchoverSettings
    from redisproxy.switchover.both_servers import BothServers
    from redisproxy.switchover.hooks import Hooks
    from redisproxy.switchover.inspection import Findings
    from redisproxy.switchover.report import SwitchoverReport

POLL_S = 0.1
QUICK_POLL_S = 0.02
"""Once the new server is synchronised."""
MAX_SYNCS = 3
MAX_SAMPLES = 1000
# More replicas than there are: the server asks them all for their offsets, in the replication stream, and changes no
# data. The stream begins up to a second after a synchronisation, and this shows that it flows.
_STIR = ("WAIT", 1000, 1)


class CatchUp:
    """Polls both servers until replication has caught up; made at the moment when it begins."""

    def __init__(
        self,
        servers: BothServers,
        findings: Findings,
        settings: SwitchoverSettings,
        hooks: Hooks,
        report: SwitchoverReport,
        clock: IReactorTime,
    ) -> None:
        self._servers = servers
        self._findings = findings
        self._settings = settings
        self._hooks = hooks
        self._report = report
        self._clock = clock
        self._began = self._moved_at = clock.seconds()
        self._mark = ""
        self._stirred = False
        self._offsets: deque[tuple[float, int]] = deque(maxlen=MAX_SAMPLES)

    async def until_near(self) -> str:
        """Wait until the new server is nearly where the old one is; the id of the history that both have then.

        Empty when the new server does not say that it is a replica: then the word of the replicate hook counts.

        @raise SwitchoverFailed: it takes too long, or gets nowhere.
        @raise UplinkError: a server does not answer.
        """
        if self._hooks.says_caught_up and (await self._servers.at_new.replica()).role != "slave":
            self._report.warn(
                ["the new server tells no offset: that it has caught up is the word of the replicate hook"]
            )
            return ""
        while True:
            old, new = await self._servers.at_old.state(), await self._servers.at_new.state()
            self._findings.require_no_errors(new)
            if new.link_up and not self._stirred:
                self._stirred = True
                await self._servers.at_old.ask_all(_STIR)
                continue
            if self._stirred and self._is_near(old, new):
                return old.replication_id
            self._require_progress(old, new)
            await deferLater(self._clock, QUICK_POLL_S if new.link_up else POLL_S)

    def _is_near(self, old: ServerState, new: ServerState) -> bool:
        left = new.bytes_left
        behind = max(0, old.offset - new.offset)
        progress = self._report.progress = {
            "synchronised": new.link_up,
            "bytes_left": left if left is not None else behind if new.link_up else None,
            "total_bytes": new.number("master_sync_total_bytes"),
        }
        if not new.link_up or new.replication_id != old.replication_id:
            return False  # the first replica of a server gives its history a new name
        lag_ms = progress["lag_ms"] = self._lag_ms(old.offset, new.offset)
        return lag_ms is not None and lag_ms <= self._settings.max_lag_ms

    def _lag_ms(self, old_offset: int, new_offset: int) -> float | None:
        """How long ago the old server was where the new one is now; None if that was before the first poll."""
        now = self._clock.seconds()
        self._offsets.append((now, old_offset))
        passed = [at for at, offset in self._offsets if offset <= new_offset]
        return round((now - passed[-1]) * 1000, 1) if passed else None

    def _require_progress(self, old: ServerState, new: ServerState) -> None:
        now, mark, stall_s = self._clock.seconds(), _progress_mark(old, new), self._settings.sync_stall_ms / 1000
        if now - self._began > stall_s and not new.link_up:
            self._require_few_syncs(old)
        if mark != self._mark:
            self._moved_at, self._mark = now, mark
        if now - self._moved_at > stall_s:
            raise SwitchoverFailed(
                f"replication makes no progress: {self._findings.source} may not be reachable from the new server, or"
                " it may refuse its password or certificate; the new server's log says why",
                late=True,
            )
        if now - self._began > self._settings.sync_deadline_ms / 1000:
            raise SwitchoverFailed("replication takes longer than switchover.sync_deadline_ms", late=True)

    def _require_few_syncs(self, old: ServerState) -> None:
        """Each time that a synchronisation begins looks like progress, and costs the old server a fork."""
        begun = old.number("sync_full") - self._findings.old.number("sync_full")
        if begun > MAX_SYNCS:
            raise SwitchoverFailed(
                f"the new server has begun to synchronise {begun} times and never came to the end; its log or that of"
                " the old one says why: perhaps its disk is full, or client-output-buffer-limit is too low",
                late=True,
            )


def _progress_mark(old: ServerState, new: ServerState) -> str:
    """A text that changes for as long as a synchronisation makes progress."""
    names = ("master_link_status", "master_sync_left_bytes", "slave_repl_offset", "loading_loaded_bytes", "loading")
    mark = [new.info.get(name, "") for name in names]
    return " ".join([*mark, old.info.get("rdb_current_bgsave_time_sec", ""), old.info.get("slave0", "")])
