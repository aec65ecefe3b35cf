"""The engine of a copy: carries out the orders of L{interface.Copying}, in whichever process."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from redisproxy.copying.changes import Changes
from redisproxy.copying.copy_run import CopyRun
from redisproxy.copying.feeds import open_feed
from redisproxy.copying.figures import CopyFigures
from redisproxy.copying.interface import CopyFailed, CopyProgress, Proof, Rest, Survey
from redisproxy.copying.servers import open_servers
from redisproxy.copying.survey import take_survey
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.servers.copy_marker import Marked, mark, marked

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.copying.feed import Feed
    from redisproxy.net.network import Network

T = TypeVar("T")
AGAIN_S = 1.0
ATTEMPTS = 5
"""A connection for keys that is lost: so often the copy begins anew."""


class CopyEngine:
    """Implements L{interface.Copying}.

    @param old, new: settings whose uplinks are the two servers; C{new.switchover} has the limits.
    """

    log = Logger(namespace="redisproxy.copying")

    def __init__(self, old: Settings, new: Settings, network: Network, clock: IReactorTime) -> None:
        self._old = old
        self._new = new
        self._settings = new.switchover
        self._network = network
        self._clock: Any = clock
        self._changes = Changes()
        self._figures = CopyFigures(clock.seconds)
        self._run: CopyRun | None = None
        self._stopped = False
        self._works: set[Deferred[Any]] = set()

    # -- the orders

    def survey(self) -> Deferred[Survey]:
        """Part of L{interface.Copying}."""
        return self._begin(self._survey())

    def copy(self, replace: bool) -> Deferred[tuple[str, ...]]:
        """Part of L{interface.Copying}."""
        return self._begin(self._copy(replace))

    def note(
        self, names: tuple[bytes, ...], perhaps: tuple[tuple[int, bytes], ...], everything: bool, flushed: bool
    ) -> Deferred[None]:
        """Part of L{interface.Copying}."""
        self._changes.add(names)
        if everything:
            self._changes.all_changed()
        if self._run is None:
            self._changes.add([name for _, name in perhaps])
        if flushed and not (self._run is not None and self._run.is_told_of_flushes):
            self._changes.flushed = True
        return self._begin(_nothing() if self._run is None else self._run.note(perhaps))

    def near(self) -> Deferred[None]:
        """Part of L{interface.Copying}."""
        return self._begin(self._near())

    def copy_rest(self) -> Deferred[Rest]:
        """Part of L{interface.Copying}."""
        return self._begin(self._copy_rest())

    def verify(self, seconds: float) -> Deferred[Proof]:
        """Part of L{interface.Copying}."""
        return self._begin(self._verify(seconds))

    def progress(self) -> Deferred[CopyProgress]:
        """Part of L{interface.Copying}."""
        slow_s = self._run.changed.slow_s if self._run is not None else 0.0
        verification = self._run.verification if self._run is not None else None
        compared = verification.compared if verification is not None else 0
        return self._begin(_answer(self._figures.progress(len(self._changes), slow_s, compared)))

    def stop(self) -> Deferred[None]:
        """Part of L{interface.Copying}."""
        self._stopped = True
        for work in list(self._works):
            work.cancel()
        self._end_run()
        return self._begin(_nothing())

    def _begin(self, work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        working = ensureDeferred(work)
        if not working.called:
            self._works.add(working)
            working.addBoth(self._over, working)
        return working

    def _over(self, result: Any, working: Deferred[Any]) -> Any:
        self._works.discard(working)
        return result

    # -- what they do

    async def _survey(self) -> Survey:
        servers = await open_servers(self._old, self._new, self._network, self._clock)
        try:
            return await take_survey(servers, self._open_feed, self._clock)
        finally:
            servers.close()

    async def _open_feed(self) -> Feed:
        uplink = self._old.uplink
        return await open_feed(uplink, f"the old server ({uplink.address})", self._network, self._clock, self._changes)

    async def _copy(self, replace: bool) -> tuple[str, ...]:
        for attempt in range(ATTEMPTS):
            try:
                await self._copy_once(replace and not attempt)
                break
            except UplinkUnavailable as error:
                self._end_run()
                if attempt == ATTEMPTS - 1:
                    raise CopyFailed(f"{error}; the copy has begun {ATTEMPTS} times") from error
                self.log.warn("the copy begins anew: {error}", error=str(error))
                await deferLater(self._clock, AGAIN_S)
        run = self._current()
        run.keeping_up.begin()
        return tuple(run.named.losses)

    async def _copy_once(self, replace: bool) -> None:
        servers = await open_servers(self._old, self._new, self._network, self._clock)
        run = self._run = CopyRun(servers, self._changes, self._figures, self._open_feed, self._settings, self._clock)
        address = self._old.uplink.address
        # What an earlier attempt has copied may be gone at the old server since, and nobody has told.
        if replace or await marked(servers.new, address) is not Marked.NOT:
            await servers.new.ask("FLUSHALL")
        await mark(servers.new, Marked.COPYING, address)
        await run.converge.begin()
        await run.functions()
        await run.converge.until_near()

    def _current(self) -> CopyRun:
        if self._run is None or self._stopped:
            raise CopyFailed("nothing is being copied")
        return self._run

    async def _copy_rest(self) -> Rest:
        run = self._current()
        await run.keeping_up.end()
        keys = await run.rest()
        await run.functions()
        return Rest(keys, tuple(run.named.losses), all_streams=not run.streams.more)

    async def _near(self) -> None:
        await self._current().keeping_up.near()

    async def _verify(self, seconds: float) -> Proof:
        return await self._current().verify(seconds)

    def _end_run(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.end()


async def _nothing() -> None:
    """Nothing to wait for."""


async def _answer(value: T) -> T:
    return value
