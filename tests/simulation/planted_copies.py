"""Bugs in how a switchover copies; see L{planted}."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast
from unittest.mock import patch

from twisted.internet.task import deferLater

from redisproxy.copying import engine
from redisproxy.copying.all_keys import AllKeys
from redisproxy.copying.background_verification import BackgroundVerification
from redisproxy.copying.batches import Batch, Batches
from redisproxy.copying.changed_keys import ChangedKeys
from redisproxy.copying.converge import Converge
from redisproxy.copying.feed import Feed
from redisproxy.copying.interface import Proof, Rest
from redisproxy.copying.servers import CopiedServers
from redisproxy.copying.steps import LAST, Steps
from redisproxy.remote import interrupted
from redisproxy.remote.interrupted import Verdict
from redisproxy.servers.copy_marker import Marked
from redisproxy.switchover.copy_route import CopyRoute

Patches = Iterator[Any]


def _nothing_compared() -> Patches:
    """What is compared would tell of most bugs before anybody goes to the new server."""

    async def verify(self: Any, seconds: float) -> Proof:
        return Proof(0, 0)

    async def step(self: BackgroundVerification) -> bool:
        return False

    yield patch.object(engine.CopyEngine, "_verify", verify)
    yield patch.object(BackgroundVerification, "step", step)
    yield patch.object(BackgroundVerification, "look_again", step)


def _last_word_not_awaited() -> Patches:
    """What the feed has not told yet when the old server is fenced is not copied."""

    async def last_word(self: Feed) -> bool:
        return True

    yield patch.object(Feed, "last_word", last_word)
    yield from _nothing_compared()


def _one_database() -> Patches:
    """A name that has changed is looked at in one database only."""

    async def databases(self: CopiedServers) -> list[int]:
        return [0]

    yield patch.object(CopiedServers, "databases", databases)
    yield from _nothing_compared()


def _changed_while_copied() -> Patches:
    """A key that changes while it is copied counts as copied."""

    async def copy(self: ChangedKeys, but_slow: bool = False) -> None:
        names = list(self._changes._names)
        await self._named.copy_everywhere(names)
        await deferLater(cast(Any, self._clock), 0.02)  # as long as many keys take
        for name in names:
            self._changes._names.pop(name, None)
        self.copied += len(names)

    yield patch.object(ChangedKeys, "copy", copy)
    yield from _nothing_compared()


def _rest_not_copied() -> Patches:
    """Clients go to the new server with what it has."""

    async def copy_rest(self: Any) -> Rest:
        return Rest(0)

    yield patch.object(engine.CopyEngine, "_copy_rest", copy_rest)
    yield from _nothing_compared()


def _lost_feed_overlooked() -> Patches:
    """A feed that was lost has told everything."""

    async def last_word(self: Feed) -> bool:
        return True

    yield patch.object(Feed, "lost", False)
    yield patch.object(Feed, "last_word", last_word)
    yield from _nothing_compared()


def _too_many_changes_forgotten() -> Patches:
    """Changes that are too many to be remembered are forgotten."""
    original = Converge._all_again

    async def all_again(self: Converge) -> None:
        if self._passes:
            self._changes.everything = False
        else:
            await original(self)

    yield patch.object(Converge, "_all_again", all_again)
    yield patch.object(Converge, "_require_short_pass", lambda self: None)
    yield from _nothing_compared()


def _read_ahead_of_changes() -> Patches:
    """What was read before a changed key was copied is written after it."""

    async def step(self: AllKeys, db: int, steps: Steps) -> bool:
        batch = await steps.next()
        await self._changed.copy()
        await self._servers.select(db)
        await self._write(db, batch)
        return batch.cursor != LAST

    yield patch.object(AllKeys, "_step", step)
    yield from _nothing_compared()


def _taken_for_strings() -> Patches:
    """What SCAN names among nothing but strings is a string."""

    async def left(self: Batches, names: list[bytes], expiring: bool) -> Any:
        return Batch(b"", 0, 0, b"", [])

    yield patch.object(Batches, "_left", left)
    yield from _nothing_compared()


def _writers_not_fenced() -> Patches:
    """Clients that bypass the proxy go on writing to the old server."""

    async def fence(self: CopyRoute, pause: Any) -> bool:
        return True

    yield patch.object(CopyRoute, "fence", fence)


def _mark_overlooked() -> Patches:
    """A data plane that has lost its control plane stays, although the new server is marked as having everything."""
    original = interrupted.verdict

    def verdict(old: Any, new: Any, writable: bool, mark: Any = None) -> Verdict:
        return Verdict.STAY if mark is Marked.COPIED else original(old, new, writable, mark)

    yield patch.object(interrupted, "verdict", verdict)


COPIES: dict[str, Callable[[], Patches]] = {
    "last-word-not-awaited": _last_word_not_awaited,
    "one-database": _one_database,
    "changed-while-copied": _changed_while_copied,
    "rest-not-copied": _rest_not_copied,
    "lost-feed-overlooked": _lost_feed_overlooked,
    "too-many-changes-forgotten": _too_many_changes_forgotten,
    "writers-not-fenced": _writers_not_fenced,
    "read-ahead-of-changes": _read_ahead_of_changes,
    "taken-for-strings": _taken_for_strings,
}
COPY_LOSSES: dict[str, Callable[[], Patches]] = {"mark-overlooked": _mark_overlooked}
