"""Before the pause: waits until the new server is nearly where the old one is; the load goes on meanwhile.

A switchover that is stuck here says why: no progress, synchronisations that begin again and again, or the deadline.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from twisted.internet.task import deferLater

from redisproxy.switchover.report import SwitchoverFailed

if TYPE_CHECKING:
    from redisproxy.servers.state import ServerState
    from redisproxy.switchover.context import Context

POLL_S = 0.1
SLOW_POLL_S = 0.02
MAX_SYNCS = 3
MAX_SAMPLES = 1000
# More replicas than there are: the server asks them all where they are, in the replication stream, and changes no data.
_STIR = ("WAIT", 1000, 1)


class CatchingUp:
    """The step catch up."""

    def __init__(self, context: Context) -> None:
        self._servers = context.servers
        self._settings = context.settings
        self._journal = context.journal
        self._state = context.state
        self._clock = context.clock
        self._offsets: deque[tuple[float, int]] = deque(maxlen=MAX_SAMPLES)
        self._began = self._moved_at = 0.0
        self._seen = ""

    async def wait(self) -> None:
        """
        @raise SwitchoverFailed: it takes too long, or comes to nothing.
        """
        self._began = self._moved_at = self._clock.seconds()
        stirred = False
        while True:
            old, new = await self._servers.old.state(), await self._servers.new.state()
            if new.link_up and not stirred:
                # The stream begins up to a second after the synchronisation. Something to wait for shows that it flows.
                stirred = True
                await self._servers.old.ask_all(_STIR)
                continue
            if stirred and self._is_near(old, new):
                return
            self._see_that_it_gets_on(old, new)
            await deferLater(self._clock, SLOW_POLL_S if new.link_up else POLL_S, lambda: None)

    def _see_that_it_gets_on(self, old: ServerState, new: ServerState) -> None:
        now, stall_s, mark = self._clock.seconds(), self._settings.sync_stall_ms / 1000, _progress_mark(old, new)
        if now - self._began > stall_s:
            self._see_that_it_began_once(old, new)
        if mark != self._seen:
            self._moved_at, self._seen = now, mark
        if now - self._moved_at > stall_s:
            raise SwitchoverFailed(
                f"replication makes no progress: {self._state.source} may not be reachable from the new server, or it"
                f" may refuse its password or certificate; the new server's log says why",
                late=True,
            )
        if now > self._began + self._settings.sync_deadline_ms / 1000:
            raise SwitchoverFailed("replication takes longer than switchover.sync_deadline_ms", late=True)

    def _see_that_it_began_once(self, old: ServerState, new: ServerState) -> None:
        """Each time that a synchronisation begins looks like progress, and costs the old server a fork."""
        begun = old.number("sync_full") - self._state.old.number("sync_full")
        if begun > MAX_SYNCS and not new.link_up:
            raise SwitchoverFailed(
                f"the new server has begun to synchronise {begun} times and never came to the end; its log or that of"
                " the old one says why: perhaps its disk is full, or client-output-buffer-limit is too low",
                late=True,
            )

    def _is_near(self, old: ServerState, new: ServerState) -> bool:
        left = new.bytes_left
        behind = max(0, old.offset - new.offset)
        progress = self._journal.progress = {
            "synchronised": new.link_up,
            "bytes_left": left if left is not None else behind if new.link_up else None,
            "total_bytes": new.number("master_sync_total_bytes"),
        }
        if not new.link_up or new.replication_id != old.replication_id:
            return False  # the first replica of a server gives its history a new name
        self._state.history = old.replication_id
        lag_ms = progress["lag_ms"] = self._lag_ms(old.offset, new.offset)
        return lag_ms is not None and lag_ms <= self._settings.max_lag_ms

    def _lag_ms(self, old_offset: int, new_offset: int) -> float | None:
        """How long ago the old server was where the new one is now; None when that was before we looked."""
        now = self._clock.seconds()
        self._offsets.append((now, old_offset))
        passed = [at for at, offset in self._offsets if offset <= new_offset]
        return round((now - passed[-1]) * 1000, 1) if passed else None


def _progress_mark(old: ServerState, new: ServerState) -> str:
    """Changes for as long as a synchronisation gets on."""
    names = ("master_link_status", "master_sync_left_bytes", "slave_repl_offset", "loading_loaded_bytes", "loading")
    mark = [new.info.get(name, "") for name in names]
    return " ".join([*mark, old.info.get("rdb_current_bgsave_time_sec", ""), old.info.get("slave0", "")])
