"""One attempt to copy: everything that it is made of, and what it does from the first key to the proof."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from redisproxy.copying.all_keys import AllKeys, Removal
from redisproxy.copying.background_verification import BackgroundVerification
from redisproxy.copying.changed_keys import ChangedKeys
from redisproxy.copying.compare import compare
from redisproxy.copying.comparison import Comparison, Depth, Extent
from redisproxy.copying.converge import Converge
from redisproxy.copying.functions import copy_functions
from redisproxy.copying.interface import Proof
from redisproxy.copying.keeping_up import KeepingUp
from redisproxy.copying.named_keys import NamedKeys
from redisproxy.copying.pace import Pace
from redisproxy.copying.servers import commands_of
from redisproxy.copying.streams import Streams
from redisproxy.copying.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redisproxy.config import SwitchoverSettings
    from redisproxy.copying.changes import Changes
    from redisproxy.copying.feed import Feed
    from redisproxy.copying.figures import CopyFigures
    from redisproxy.copying.servers import CopiedServers

SHOWN = 20
STREAMS_SHARE = 0.25
"""The part of the pause budget for comparing streams."""


class CopyRun:
    """Everything of one attempt to copy.

    @ivar keeping_up: what copies changes between the orders. @ivar verification: compares all keys, if that is wanted.
    """

    def __init__(
        self,
        servers: CopiedServers,
        changes: Changes,
        figures: CopyFigures,
        open_feed: Callable[[], Awaitable[Feed]],
        settings: SwitchoverSettings,
        clock: Any,
    ) -> None:
        self.servers = servers
        self.streams = Streams(servers, clock)
        self.named = NamedKeys(servers, writer := Writer(servers.new), self.streams, clock)
        pace = Pace(self._latency_s, partial(commands_of, servers.old), clock)
        wanted = settings.verify == "all"
        self.verification = BackgroundVerification(servers, changes, self._last_word, pace, clock) if wanted else None
        self.changed = ChangedKeys(changes, self.named, figures, clock, self._note_copied)
        all_keys = AllKeys(servers, writer, self.named, changes, self.changed, pace, figures, clock)
        others = Removal(servers, self.named.in_place), open_feed, self.verification
        self.converge = Converge(changes, all_keys, self.changed, *others, settings, clock)
        self.keeping_up = KeepingUp(self.converge, clock)
        self._writer = writer
        self._clock = clock
        self._changes = changes
        self._settings = settings
        self._functions: object = None

    async def _latency_s(self) -> float:
        return await self.converge.feed.latency_s()

    async def _last_word(self) -> bool:
        return await self.converge.feed.last_word()

    def _note_copied(self, names: list[bytes]) -> None:
        if self.verification is not None:
            self.verification.copied(names)

    @property
    def is_told_of_flushes(self) -> bool:
        """Whether the feed tells when databases are emptied."""
        return self.converge.has_feed and self.converge.feed.tells_flushes

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

    async def verify(self, seconds: float) -> Proof:
        """Compare both servers, for so many seconds at the most. Both stand still.

        @raise UplinkError: a server does not answer.
        """
        extent = Extent(Depth(self._settings.verify), first=tuple(reversed(self.named.recent)), seconds=seconds)
        verified = self.verification if self.verification is not None and self.verification.complete else None
        if verified is not None:
            extent = await self._left_of_all(verified.left(), seconds)
        found = await compare(self.servers.source, self.servers.target, extent, self._clock)
        return proof_of(found) if verified is None else proof_of_all(found, extent, verified)

    async def _left_of_all(self, names: list[bytes], seconds: float) -> Extent:
        """What was not compared since it changed; what takes long comes last."""
        slow = {name for _, name in self.named.slow}
        in_order = [*(name for name in names if name not in slow), *(name for name in names if name in slow)]
        databases = await self.servers.databases()
        return Extent(sample=0, first=[(db, name) for db in databases for name in in_order], seconds=seconds)

    def end(self) -> None:
        """Close everything."""
        self.keeping_up.cancel()
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


def proof_of_all(found: Comparison, extent: Extent, before: BackgroundVerification) -> Proof:
    """How many keys were compared with what they hold now, in the background or behind the fence.

    @param found: what came of those that had changed since. @param before: what was compared in the background.
    """
    proof = proof_of(found)
    not_compared = len(extent.first) - found.compared + found.unread + before.unread + before.forgotten
    return replace(proof, compared=max(0, proof.keys - not_compared))
