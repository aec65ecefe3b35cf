"""The engine of a copy: carries out the orders of L{interface.Copying}, in whichever process."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from redisproxy.copying.all_keys import AllKeys, Removal
from redisproxy.copying.changed_keys import ChangedKeys
from redisproxy.copying.changes import Changes
from redisproxy.copying.compare import compare
from redisproxy.copying.comparison import Comparison, Depth, Extent
from redisproxy.copying.converge import Converge
from redisproxy.copying.feed import Feed, open_feed
from redisproxy.copying.figures import CopyFigures
from redisproxy.copying.functions import copy_functions
from redisproxy.copying.interface import CopyFailed, CopyProgress, Proof, Rest, Survey
from redisproxy.copying.named_keys import NamedKeys
from redisproxy.copying.pace import Pace
from redisproxy.copying.servers import CopiedServers, open_servers
from redisproxy.copying.streams import Streams
from redisproxy.copying.survey import take_survey
from redisproxy.copying.writer import Writer
from redisproxy.net.errors import UplinkError, UplinkUnavailable
from redisproxy.servers.copy_marker import Marked, mark, marked, unmark

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.net.network import Network

T = TypeVar("T")
AGAIN_S = 1.0
ATTEMPTS = 5
"""A connection for keys that is lost: so often the copy begins anew."""
SHOWN = 20
STREAMS_SHARE = 0.05
"""The part of the pause budget for comparing streams."""


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
        self._keeping_up: Deferred[None] | None = None
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
        self, names: tuple[bytes, ...], perhaps: tuple[tuple[int, bytes], ...], everything: bool
    ) -> Deferred[None]:
        """Part of L{interface.Copying}."""
        self._changes.add(names)
        if everything:
            self._changes.all_changed()
        if self._run is None:
            self._changes.add([name for _, name in perhaps])
        return self._begin(_nothing() if self._run is None else self._run.note(perhaps))

    def copy_rest(self) -> Deferred[Rest]:
        """Part of L{interface.Copying}."""
        return self._begin(self._copy_rest())

    def verify(self, seconds: float) -> Deferred[Proof]:
        """Part of L{interface.Copying}."""
        return self._begin(self._verify(seconds))

    def progress(self) -> Deferred[CopyProgress]:
        """Part of L{interface.Copying}."""
        slow_s = self._run.changed.slow_s if self._run is not None else 0.0
        return self._begin(_answer(self._figures.progress(len(self._changes), slow_s)))

    def stop(self) -> Deferred[None]:
        """Part of L{interface.Copying}."""
        self._stopped = True
        for work in list(self._works):
            work.cancel()
        if self._keeping_up is not None:
            self._keeping_up.cancel()
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
        self._keeping_up = keeping_up = ensureDeferred(self._keep_up())
        keeping_up.addErrback(lambda _: None)
        return tuple(self._current().named.losses)

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
        await run.find_streams()
        await run.converge.until_near()

    async def _keep_up(self) -> None:
        run = self._current()
        try:
            await run.converge.keep_up()
        except UplinkError as error:
            run.failure = error
            self.log.warn("the copy does not keep up with the changes: {error}", error=str(error))

    def _current(self) -> CopyRun:
        if self._run is None or self._stopped:
            raise CopyFailed("nothing is being copied")
        return self._run

    async def _copy_rest(self) -> Rest:
        run = self._current()
        run.converge.end_keeping_up()
        await self._kept_up()
        if run.failure is not None:
            raise run.failure
        keys = await run.rest()
        await run.functions()
        return Rest(keys, tuple(run.named.losses))

    async def _kept_up(self) -> None:
        keeping_up = self._keeping_up
        if keeping_up is not None and not keeping_up.called:
            over: Deferred[None] = Deferred()
            keeping_up.addBoth(lambda _: over.callback(None))
            await over

    async def _verify(self, seconds: float) -> Proof:
        run = self._current()
        servers = run.servers
        await servers.select(0)
        await unmark(servers.new)
        extent = Extent(Depth(self._settings.verify), first=tuple(reversed(run.named.recent)), seconds=seconds)
        found = await compare(servers.source, servers.target, extent, self._clock)
        return proof_of(found)

    def _end_run(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            run.end()


class CopyRun:
    """Everything of one attempt to copy.

    @ivar failure: why changes are not copied any more.
    """

    def __init__(
        self, servers: CopiedServers, changes: Changes, figures: CopyFigures, feeds: Any, settings: Any, clock: Any
    ) -> None:
        self.servers = servers
        self.failure: UplinkError | None = None
        self.streams = Streams(servers, clock)
        self.named = NamedKeys(servers, writer := Writer(servers.new), self.streams, clock)
        self.changed = ChangedKeys(changes, self.named, figures, clock)
        pace = Pace(self._latency_s, clock)
        all_keys = AllKeys(servers, writer, self.named, changes, self.changed, pace, figures, clock)
        removal = Removal(servers, self.named.in_place)
        self.converge = Converge(changes, all_keys, self.changed, removal, feeds, settings, clock)
        self._writer = writer
        self._clock = clock
        self._changes = changes
        self._settings = settings
        self._functions: object = None

    async def _latency_s(self) -> float:
        return await self.converge.feed.latency_s()

    async def functions(self) -> None:
        """Copy the functions, if they are others than before.

        @raise UplinkError: a server does not answer.
        """
        if not self.servers.source.features.functions:
            return
        dump = await self.servers.source.ask("FUNCTION", "DUMP")
        if dump != self._functions:
            self.named.losses.update(dict.fromkeys(await copy_functions(self.servers.source, self.servers.target)))
            self._functions = dump

    async def note(self, perhaps: tuple[tuple[int, bytes], ...]) -> None:
        """Of these keys those have changed that can change without being told."""
        if perhaps and not self._changes.everything and self.converge.has_feed:
            perhaps = await self.converge.feed.silent_types(perhaps)
        self._changes.add([name for _, name in perhaps])

    async def find_streams(self) -> None:
        """Find those that are compared in the end: scripts change undeclared keys, and nobody notices.

        @raise UplinkError: the old server does not answer.
        """
        await self.streams.find(Pace(self._latency_s, self._clock))

    async def rest(self) -> int:
        """Copy the rest, and streams that have changed unnoticed; how many keys that was.

        @raise UplinkError: see L{Converge.rest}.
        """
        keys = await self.converge.rest()
        if len(self.streams):
            seconds = self._settings.pause_budget_ms / 1000 * STREAMS_SHARE
            self._changes.add([name for _, name in await self.streams.differing(seconds)])
            keys += await self.converge.rest()
        return keys

    def end(self) -> None:
        """Close everything."""
        self._writer.abandon()
        self.converge.end()
        self.servers.close()


def proof_of(found: Comparison) -> Proof:
    """A comparison as the report has it."""
    differences = [
        f"{f'{each.kind} ' if each.kind else ''}{_name(each.key)} in database {each.db}: {each.why}"
        for each in found.differences[:SHOWN]
    ]
    if more := len(found.differences) - len(differences) + found.more:
        differences.append(f"and {more} more")
    return Proof(sum(source for source, _ in found.keys.values()), found.compared, tuple(differences))


def _name(key: bytes | None) -> str:
    return "the number of keys" if key is None else key.decode("utf-8", "backslashreplace")


async def _nothing() -> None:
    """Nothing to wait for."""


async def _answer(value: T) -> T:
    return value
