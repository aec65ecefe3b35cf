"""The switchover: one coroutine that moves the data and the clients from the old Redis server to the new one.

Preflight, replicate, catch up, pause, drain, fence, verify, promote, swap, resume. Whatever fails before the gate opens
on the new server is rolled back: the old one takes writes again, the gate opens on it, and the new configuration is not
taken. No client is dropped for it. The rule behind the order: a write is acknowledged by the old server only before the
fence, its offset is sampled after the fence, and the new one is promoted only when it has applied that offset.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from redisproxy import preflight
from redisproxy.errors import UplinkError, UplinkUnavailable
from redisproxy.replication import RedisServer, ServerSaidNo, ServerState

if TYPE_CHECKING:
    from redisproxy.config import SwitchoverSettings, UplinkSettings

T = TypeVar("T")
POLL_S = 0.1
QUICK_POLL_S = 0.001
SLOW_POLL_S = 0.02
ROLLBACK_SHARE = 0.2
"""The part of the pause budget that is kept for rolling back."""
UNDO_RESTS_S = (0.0, 0.1, 0.2)
UNDO_RESTS_LATER_S = (0.5, 1.0, 2.0)
"""Before each try to undo something; the later ones are for when the clients go on already."""
MAX_SYNCS = 3
MAX_SAMPLES = 1000
# More replicas than there are: the server asks them all where they are, in the replication stream, and changes no data.
_STIR = ("WAIT", 1000, 1)

Report = dict[str, Any]


class SwitchoverFailed(Exception):
    """It did not take place, and everything is as before unless C{str()} says what is not.

    @ivar refused: the preflight said no; nothing has been touched.
    @ivar late: a deadline was not met.
    """

    def __init__(self, message: str, *, refused: bool = False, late: bool = False) -> None:
        super().__init__(message)
        self.refused = refused
        self.late = late


class World(Protocol):
    """What a switchover needs of the proxy."""

    clock: IReactorTime

    @property
    def old(self) -> UplinkSettings: ...

    @property
    def new(self) -> UplinkSettings: ...

    def open_old(self) -> Coroutine[Deferred[Any], Any, RedisServer]:
        """A control connection to the old server."""

    def open_new(self) -> Coroutine[Deferred[Any], Any, RedisServer]:
        """A control connection to the new server."""

    def highest_db(self) -> int:
        """The highest database that a client has selected."""

    def connect(self) -> Coroutine[Deferred[Any], Any, None]:
        """Log in at the new server with all the connections that clients will need, and prepare it for them.

        @raise UplinkError: it can't be done.
        """

    def close_gate(self) -> None: ...

    def open_gate(self) -> Report:
        """Let commands through again; tell how long and how many were held."""

    def drained(self) -> Deferred[None]:
        """Fire when nothing is in flight."""

    def in_flight(self) -> list[dict[str, Any]]:
        """Who has commands in flight now."""

    def prove_watches(self) -> Coroutine[Deferred[Any], Any, None]:
        """See which WATCHes still hold. The old server is fenced."""

    def prepare(self) -> Coroutine[Deferred[Any], Any, None]:
        """The last things at the new server before clients come, with the gate closed.

        @raise UplinkError: that failed.
        """

    def swap(self) -> None:
        """Take the new configuration. The gate is closed and nothing is in flight."""

    def told_to_go_on(self) -> Deferred[None]:
        """In external mode: fire when the operator has promoted the new server."""


class Switchover:
    """One switchover from the uplink in force to the one in the configuration file.

    @ivar report: what has happened so far, and in the end.
    """

    log = Logger(namespace="redisproxy.switchover")

    def __init__(self, world: World, settings: SwitchoverSettings, dry_run: bool = False) -> None:
        self._world = world
        self._settings = settings
        self._dry_run = dry_run
        self._clock = world.clock
        self._began = self._clock.seconds()
        self._paused_at: float | None = None
        self._old: RedisServer | None = None
        self._new: RedisServer | None = None
        self._old_state = self._new_state = ServerState({})
        self._source = preflight.Source("", 0)
        self._fenced = self._promoted = self._follows = self._swapped = False
        self._settings_before: dict[str, str] = {}
        self._history = ""
        self._offsets: deque[tuple[float, int]] = deque(maxlen=MAX_SAMPLES)
        self.progress: Report = {}
        self.report: Report = {
            "from": str(world.old.address),
            "to": str(world.new.address),
            "result": "running",
            "error": "",
            "step": "preflight",
            "steps": [],
            "warnings": [],
            "pause_ms": 0.0,
            "held": 0,
            "longest_wait_ms": 0.0,
            "dropped": [],
            "old_offset": None,
            "new_offset": None,
        }

    def current(self) -> Report:
        """What the pages show while it runs."""
        elapsed_ms = round((self._clock.seconds() - self._began) * 1000)
        return {
            "step": self.report["step"],
            "from": self.report["from"],
            "to": self.report["to"],
            "elapsed_ms": elapsed_ms,
            **self.progress,
        }

    # -- the whole

    async def run(self) -> Report:
        """Carry it out.

        @raise SwitchoverFailed: it was refused or rolled back.
        @raise CancelledError: the proxy is stopped; it was rolled back.
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
                await self._finish()

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = self._clock.seconds()
        self.report["step"] = name
        self.log.info("switchover: {name}", name=name)
        try:
            yield
        finally:
            took_ms = round((self._clock.seconds() - began) * 1000, 2)
            self.report["steps"].append({"name": name, "ms": took_ms})

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

    # -- before the pause

    async def _look(self) -> None:
        world = self._world
        self._old = await world.open_old()
        self._new = await world.open_new()
        old, new = await self._old.state(), await self._new.state()
        self._old_state, self._new_state = old, new
        try:
            self._source = preflight.source_of(
                old, world.old.address, world.new.address, self._settings.replicate_from_address
            )
        except ValueError as error:
            raise SwitchoverFailed(str(error), refused=True) from None
        faults = list(preflight.faults(old, new, self._source, world.highest_db()))
        if not faults:
            faults = await self._rights()
        if faults:
            raise SwitchoverFailed("\n".join(faults), refused=True)
        self._warn(preflight.warnings(old, new))
        self.report["versions"] = [old.product, new.product]

    async def _rights(self) -> list[str]:
        """Try what will be needed in a way that changes nothing."""
        assert self._old is not None
        same = ("CONFIG", "SET", "min-replicas-to-write", self._old_state.min_replicas)
        (reply,) = await self._old.ask_all(same)
        return [f"the fence would not work: {reply}"] if isinstance(reply, ServerSaidNo) else []

    async def _look_external(self) -> None:
        self._new = await self._world.open_new()
        info = await self._new.replication()
        self.report["role_of_new"] = info.role

    def _warn(self, texts: Iterator[str]) -> None:
        for text in texts:
            self.report["warnings"].append(text)
            self.log.warn("switchover: {text}", text=text)

    async def _replicate(self) -> None:
        assert self._new is not None
        if preflight.follows(self._new_state, self._old_state, self._source):
            return
        await self._set_up_replication()
        self._follows = True
        await self._new.follow(self._source.host, self._source.port)

    async def _set_up_replication(self) -> None:
        """Give the new server what it needs to log in at the old one; what was there before comes back afterwards."""
        assert self._new is not None
        user, password = self._settings.replication_credentials(self._world.old)
        wanted = {"masteruser": user or "", "masterauth": password or ""}
        over_tls = self._settings.replicate_over_tls
        wanted["tls-replication"] = "yes" if (self._world.old.tls if over_tls is None else over_tls) else "no"
        for name, value in wanted.items():
            try:
                before = await self._new.set_config(name, value)
            except ServerSaidNo:
                if value in ("", "no"):
                    continue  # a server that lacks the setting does what is wanted
                raise
            if before != value:
                self._settings_before[name] = before

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

    def _sleep(self, seconds: float) -> Deferred[None]:
        slept: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(seconds, slept.callback, None)
        return slept

    # -- the pause

    async def _move(self) -> None:
        self._pause()
        with self._step("drain"):
            await self._within(_wait(self._world.drained()))
        with self._step("fence"):
            await self._within(self._fence())
            await self._within(self._world.prove_watches())
        with self._step("verify"):
            await self._within(self._verify())
        with self._step("promote"):
            await self._within(self._promote())
            await self._within(self._world.prepare())
        self._resume_on_the_new()

    def _pause(self) -> None:
        self._paused_at = self._clock.seconds()
        self._world.close_gate()

    def _resume_on_the_new(self) -> None:
        with self._step("swap"):
            self._world.swap()
            self._swapped = True
            self._open_gate()

    def _open_gate(self) -> None:
        if self._paused_at is None:
            return
        self._paused_at = None
        self.report.update(self._world.open_gate())

    async def _within(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        """Wait for `work`, at most for what is left of the pause budget.

        @raise TimeoutError: it was not enough.
        """
        assert self._paused_at is not None
        budget_s = self._settings.pause_budget_ms / 1000 * (1 - ROLLBACK_SHARE)
        left = self._paused_at + budget_s - self._clock.seconds()
        working: Deferred[T] = ensureDeferred(work)
        return await working.addTimeout(max(0.0, left), self._clock)

    async def _fence(self) -> None:
        assert self._old is not None
        self._fenced = True  # from here on its outcome may be unknown, and undoing it does no harm
        state = await self._old.fence(self._old_state, self._settings.pause_budget_ms)
        self.report["old_offset"] = state.offset
        if state.role != "master" or state.replication_id != self._history:
            raise SwitchoverFailed("the old server has changed its role during the switchover")

    async def _verify(self) -> None:
        """Wait until the new server has applied everything that the old one ever acknowledged."""
        assert self._new is not None
        delay = QUICK_POLL_S
        while True:
            state = await self._new.replication()
            self.report["new_offset"] = state.offset
            self.progress = {"bytes_left": max(0, self.report["old_offset"] - state.offset)}
            if state.role != "slave" or state.replication_id != self._history:
                raise SwitchoverFailed("the new server does not follow the old one any more")
            if state.offset >= self.report["old_offset"]:
                return
            await self._sleep(delay)
            delay = min(delay * 2, SLOW_POLL_S)

    async def _promote(self) -> None:
        assert self._new is not None
        self._promoted = True  # its outcome may be unknown from here on
        lift = self._new_state if self._new_state.fenced else None
        try:
            await self._new.promote(lift)
        except UplinkUnavailable:
            # The answer is lost, so ask again: promoting twice is the same as once.
            self._new = await self._world.open_new()
            await self._new.promote(lift)

    # -- external mode: somebody else moves the data

    async def _move_external(self) -> None:
        self._pause()
        with self._step("drain"):
            await self._within(_wait(self._world.drained()))
        with self._step("wait for the operator"):
            limit_s = self._settings.external_deadline_ms / 1000
            try:
                await self._world.told_to_go_on().addTimeout(limit_s, self._clock)
            except TimeoutError:
                raise SwitchoverFailed("nobody said go on within switchover.external_deadline_ms", late=True) from None
        with self._step("verify"):
            assert self._new is not None
            if (await self._new.replication()).role != "master":
                raise SwitchoverFailed("the new server is a replica still")
            await self._new.probe_write()
            await self._world.prepare()
        self._resume_on_the_new()

    # -- afterwards

    async def _finish(self) -> None:
        """Tidy up; the clients are at work again, and nothing here can fail the switchover."""
        assert self._old is not None and self._new is not None
        try:
            await self._old.end_pause()
        except UplinkError as error:
            self._warn(iter([f"the old server is gone: {error}"]))
        await self._restore_settings()

    async def _restore_settings(self) -> None:
        assert self._new is not None
        before, self._settings_before = self._settings_before, {}
        for name, value in before.items():
            try:
                await self._new.set_config(name, value)
            except UplinkError as error:
                self._warn(iter([f"{name} of the new server could not be set back: {error}"]))

    async def _roll_back(self) -> None:
        """Make the old server take writes again, then let the clients go on there, then tidy up the new one."""
        if self._swapped:
            return
        fenced = self._fenced and not await self._insist(self._unfence, UNDO_RESTS_S)
        self._open_gate()
        if fenced and not await self._insist(self._unfence, UNDO_RESTS_LATER_S):
            self._confess("the old server may still refuse writes: run redisproxy unfence")
        if self._promoted:
            if not await self._insist(self._demote, UNDO_RESTS_S):
                self._confess("the new server may have been promoted: make it a replica before you retry")
        elif self._follows and not await self._insist(self._stop_following, UNDO_RESTS_S):
            self._confess("the new server may still try to follow the old one")

    async def _insist(self, undo: Any, rests_s: tuple[float, ...]) -> bool:
        """Undo one thing, more than once if need be; whether it could be done."""
        for attempt, rest_s in enumerate(rests_s):
            try:
                await self._sleep(rest_s)
                await undo(attempt)
                return True
            except (UplinkError, CancelledError) as error:
                self.log.warn("switchover: rolling back: {error}", error=str(error) or "cancelled")
        return False

    def _confess(self, text: str) -> None:
        """Say what could not be undone."""
        self.report["error"] += f"\n{text}"
        self.log.error("switchover: {text}", text=text)

    async def _unfence(self, attempt: int) -> None:
        if self._old is None or attempt or self._paused_at is None:
            self._old = await self._world.open_old()
        state = await self._old.state()
        if state.fenced and not self._old_state.fenced:
            await self._old.unfence(state)
        else:
            await self._old.end_pause()

    async def _demote(self, attempt: int) -> None:
        if self._new is None or attempt:
            self._new = await self._world.open_new()
        await self._new.follow(self._source.host, self._source.port)

    async def _stop_following(self, attempt: int) -> None:
        """A new server that is in sync stays a replica, for the next try; one that never got there is let go."""
        if self._new is None or attempt:
            self._new = await self._world.open_new()
        if not (await self._new.replication()).link_up:
            await self._new.ask("REPLICAOF", "NO", "ONE")
            await self._restore_settings()


async def _wait(deferred: Deferred[T]) -> T:
    return await deferred


def _progress_mark(old: ServerState, new: ServerState) -> str:
    """Changes for as long as a synchronisation gets on."""
    names = ("master_link_status", "master_sync_left_bytes", "slave_repl_offset", "loading_loaded_bytes", "loading")
    mark = [new.info.get(name, "") for name in names]
    return " ".join([*mark, old.info.get("rdb_current_bgsave_time_sec", ""), old.info.get("slave0", "")])
