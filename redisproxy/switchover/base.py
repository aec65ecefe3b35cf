"""What all parts of a switchover share: what is known of both servers, the report, and the time that is left."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger

from redisproxy.servers.redis_server import RedisServer
from redisproxy.servers.state import ServerState
from redisproxy.switchover import preflight
from redisproxy.switchover.replica import Following
from redisproxy.switchover.world import Report, World

if TYPE_CHECKING:
    from redisproxy.config import SwitchoverSettings

T = TypeVar("T")
SLOW_POLL_S = 0.02
ROLLBACK_SHARE = 0.2
"""The part of the pause budget that is kept for rolling back."""
MAX_SAMPLES = 1000


class Base:
    """The state of one switchover, and what its steps are made of.

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
        self._following = Following(self._source, None, None)
        self._fenced = self._promoted = self._follows = self._swapped = False
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

    def _warn(self, texts: Iterator[str]) -> None:
        for text in texts:
            self.report["warnings"].append(text)
            self.log.warn("switchover: {text}", text=text)

    async def _reach_old(self) -> RedisServer:
        """Open a control connection to the old server, in the place of the one before, if there is any."""
        if self._old is not None:
            self._old.close()
        self._old = await self._world.open_old()
        return self._old

    async def _reach_new(self) -> RedisServer:
        """The same for the new server."""
        if self._new is not None:
            self._new.close()
        self._new = await self._world.open_new()
        return self._new

    def _sleep(self, seconds: float) -> Deferred[None]:
        slept: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(seconds, slept.callback, None)
        return slept

    async def _within(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        """Wait for `work`, at most for what is left of the pause budget.

        @raise TimeoutError: it was not enough.
        """
        assert self._paused_at is not None
        budget_s = self._settings.pause_budget_ms / 1000 * (1 - ROLLBACK_SHARE)
        left = self._paused_at + budget_s - self._clock.seconds()
        working: Deferred[T] = ensureDeferred(work)
        return await working.addTimeout(max(0.0, left), self._clock)

    def _open_gate(self) -> None:
        if self._paused_at is None:
            return
        self._paused_at = None
        self.report.update(self._world.open_gate())
