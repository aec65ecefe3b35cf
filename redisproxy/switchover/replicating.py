"""Before the pause: looks at both servers, has the new one follow the old one, until it has nearly caught up."""

from __future__ import annotations

from redisproxy.servers.control_connection import ServerSaidNo
from redisproxy.servers.state import ServerState
from redisproxy.switchover import preflight
from redisproxy.switchover.base import SLOW_POLL_S, Base
from redisproxy.switchover.replica import Following
from redisproxy.switchover.world import SwitchoverFailed

POLL_S = 0.1
MAX_SYNCS = 3
# More replicas than there are: the server asks them all where they are, in the replication stream, and changes no data.
_STIR = ("WAIT", 1000, 1)


class Replicating(Base):
    """The steps preflight, replicate and catch up."""

    async def _look(self) -> None:
        world, settings = self._world, self._settings
        at_old, at_new = await self._reach_old(), await self._reach_new()
        proxies = await at_old.is_redisproxy(), await at_new.is_redisproxy()
        self._refuse(list(preflight.proxy_faults(*proxies)))
        old, new = await at_old.state(), await at_new.state()
        self._old_state, self._new_state = old, new
        try:
            self._source = preflight.source_of(
                old, world.old, world.new.address, settings.replicate_from_address, settings.replicate_over_tls
            )
        except ValueError as error:
            raise SwitchoverFailed(str(error), refused=True) from None
        self._following = Following(self._source, *settings.replication_credentials(world.old))
        faults = list(preflight.faults(old, new, self._source, world.highest_db()))
        self._refuse(faults or await self._rights())
        self._warn(preflight.warnings(old, new))
        self.report["versions"] = [old.product, new.product]

    @staticmethod
    def _refuse(faults: list[str]) -> None:
        if faults:
            raise SwitchoverFailed("\n".join(faults), refused=True)

    async def _rights(self) -> list[str]:
        """Try what will be needed in a way that changes nothing."""
        assert self._old is not None and self._new is not None
        same = ("CONFIG", "SET", "min-replicas-to-write", self._old_state.min_replicas)
        (reply,) = await self._old.ask_all(same)
        told = [f"the fence would not work: {reply}"] if isinstance(reply, ServerSaidNo) else []
        if not preflight.follows(self._new_state, self._old_state, self._source):
            told += await self._following.faults(self._world.open_old, self._new)
        return told

    async def _look_external(self) -> None:
        info = await (await self._reach_new()).replication()
        self.report["role_of_new"] = info.role

    async def _replicate(self) -> None:
        assert self._new is not None
        if preflight.follows(self._new_state, self._old_state, self._source):
            return
        self._follows = True
        await self._following.begin(self._new)

    async def _catch_up(self) -> None:
        """Wait until the new server is nearly where the old one is; the load goes on meanwhile."""
        assert self._old is not None and self._new is not None
        deadline = self._clock.seconds() + self._settings.sync_deadline_ms / 1000
        began = moved_at = self._clock.seconds()
        seen, stirred = "", False
        while True:
            old, new = await self._old.state(), await self._new.state()
            if new.link_up and not stirred:
                # The stream begins up to a second after the synchronisation. Something to wait for shows that it flows.
                stirred = True
                await self._old.ask_all(_STIR)
                continue
            if stirred and self._is_near(old, new):
                return
            now, mark = self._clock.seconds(), _progress_mark(old, new)
            if now - began > self._settings.sync_stall_ms / 1000:
                self._see_that_it_gets_on(old, new)
            if mark != seen:
                moved_at, seen = now, mark
            if now - moved_at > self._settings.sync_stall_ms / 1000:
                raise SwitchoverFailed(
                    f"replication makes no progress: {self._source} may not be reachable from the new server, or it"
                    f" may refuse its password or certificate; the new server's log says why",
                    late=True,
                )
            if now > deadline:
                raise SwitchoverFailed("replication takes longer than switchover.sync_deadline_ms", late=True)
            await self._sleep(SLOW_POLL_S if new.link_up else POLL_S)

    def _see_that_it_gets_on(self, old: ServerState, new: ServerState) -> None:
        """Each time that a synchronisation begins looks like progress, and costs the old server a fork."""
        begun = old.number("sync_full") - self._old_state.number("sync_full")
        if begun > MAX_SYNCS and not new.link_up:
            raise SwitchoverFailed(
                f"the new server has begun to synchronise {begun} times and never came to the end; its log or that of"
                " the old one says why: perhaps its disk is full, or client-output-buffer-limit is too low",
                late=True,
            )

    def _is_near(self, old: ServerState, new: ServerState) -> bool:
        left = new.bytes_left
        behind = max(0, old.offset - new.offset)
        self.progress = {
            "synchronised": new.link_up,
            "bytes_left": left if left is not None else behind if new.link_up else None,
            "total_bytes": new.number("master_sync_total_bytes"),
        }
        if not new.link_up or new.replication_id != old.replication_id:
            return False  # the first replica of a server gives its history a new name
        self._history = old.replication_id
        lag_ms = self._lag_ms(old.offset, new.offset)
        self.progress["lag_ms"] = lag_ms
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
