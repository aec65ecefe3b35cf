"""From the first key to the last: all keys, then what has changed meanwhile, until both servers have the same.

What comes next is decided by L{Changes} and the feed. A feed that was lost, and a command that may have changed any
key, mean another pass over all keys; after a database was emptied the new server may have too many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from redisproxy.copying.interface import CopyFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redisproxy.config import SwitchoverSettings
    from redisproxy.copying.all_keys import AllKeys, Removal
    from redisproxy.copying.background_verification import BackgroundVerification
    from redisproxy.copying.changed_keys import ChangedKeys
    from redisproxy.copying.changes import Changes
    from redisproxy.copying.feed import Feed

MOST_PASSES = 6
SLOW_SHARE = 0.3
"""The part of the pause budget that slow keys may take that have changed again."""
SLOW_ROUNDS = 3
"""So often slow keys that change all the time are copied before the copy is given up."""
NAMED = 3
LAST_ROUNDS = 50
LEAST_SLEEP_S, MOST_SLEEP_S = 0.01, 0.25
SLEEP_SHARE = 2.0
"""Between two rounds of copying what has changed, in lengths of the last round."""


class Converge:
    """Brings the new server to where the old one is.

    @param open_feed: makes another feed after the first, or one that was lost.
    @param verification: compares all keys once they are copied, if that is wanted.
    @ivar settled: nothing makes another pass over all keys necessary, and none is under way.
    """

    def __init__(
        self,
        changes: Changes,
        all_keys: AllKeys,
        changed: ChangedKeys,
        removal: Removal,
        open_feed: Callable[[], Awaitable[Feed]],
        verification: BackgroundVerification | None,
        settings: SwitchoverSettings,
        clock: IReactorTime,
    ) -> None:
        self._changes = changes
        self._all_keys = all_keys
        self._changed = changed
        self._removal = removal
        self._open_feed = open_feed
        self._verification = verification
        self._settings = settings
        self._clock = clock
        self._feed: Feed | None = None
        self._passes = self._slow_rounds = 0
        self._pass_s = self._near_since = 0.0
        self._coming_near = self._ending = False
        self._nap: Deferred[None] | None = None

    @property
    def has_feed(self) -> bool:
        """Whether it has begun."""
        return self._feed is not None

    @property
    def feed(self) -> Feed:
        """The feed of the moment."""
        assert self._feed is not None
        return self._feed

    @property
    def settled(self) -> bool:
        return not (self._coming_near or self._begins_anew)

    @property
    def _begins_anew(self) -> bool:
        return self._changes.everything or self.feed.lost

    async def begin(self) -> None:
        """Have the old server tell what changes, before anything is read there.

        @raise UplinkError: it does not.
        """
        self._feed = await self._open_feed()
        self._changes.everything = True

    async def until_near(self) -> None:
        """Copy until what is left fits the pause, and compare all if that is wanted.

        @raise CopyFailed: it never does. @raise UplinkError: a server does not answer, or takes no more.
        """
        self._coming_near = True
        self._near_since = self._clock.seconds()
        deadline = self._near_since + self._settings.sync_deadline_ms / 1000
        near = False
        while True:
            await self._reopen_feed()
            await self._round(but_slow=near)
            near = self._is_near()
            if not near:
                self._require_progress(deadline)
            elif not await self._verified_more(deadline):
                break
        self._coming_near = False

    async def _reopen_feed(self) -> None:
        if self.feed.lost:
            self._feed = await self._open_feed()
            self._changes.all_changed()

    async def _verified_more(self, deadline: float) -> bool:
        """Whether there was something left to compare; it needs another round then."""
        if self._verification is None or not await self._verification.step():
            return False
        self._near_since = self._clock.seconds()
        if self._near_since > deadline:
            raise CopyFailed("comparing all keys takes longer than switchover.sync_deadline_ms")
        return True

    async def _round(self, but_slow: bool = False) -> None:
        if self._changes.everything:
            await self._all_again()
        if self._changes.flushed:
            self._changes.flushed = False
            await self._removal.remove()
        await self._changed.copy(but_slow)

    async def _all_again(self) -> None:
        if self._passes >= MOST_PASSES:
            raise CopyFailed(
                f"the copy had to begin {self._passes} times, because the connection that is told of changes was lost,"
                " or more keys changed than can be remembered; the old server's log may say why"
            )
        self._changes.everything = False
        began = self._clock.seconds()
        await self._all_keys.copy()
        if self._passes:
            await self._removal.remove()
        if self._verification is not None:
            self._verification.begin()
        self._passes += 1
        self._near_since = self._clock.seconds()
        self._pass_s = self._near_since - began

    def _is_near(self) -> bool:
        if self.feed.lost or self._changes.everything or self._changes.flushed:
            return False
        slow_s = self._changed.slow_s
        self._slow_rounds = self._slow_rounds + 1 if slow_s > self._slow_limit_s else 0
        return slow_s <= self._slow_limit_s and self._changed.seconds <= self._settings.max_lag_ms / 1000

    @property
    def _slow_limit_s(self) -> float:
        return self._settings.pause_budget_ms / 1000 * SLOW_SHARE

    def _require_progress(self, deadline: float) -> None:
        now = self._clock.seconds()
        stalled = now - self._near_since > self._settings.sync_stall_ms / 1000 or now > deadline
        slow = self._changed.slow_names(NAMED)
        if self._slow_rounds >= SLOW_ROUNDS or (stalled and slow):
            raise CopyFailed(
                f"large keys change again while they are copied: {slow}; copying them would"
                f" take more than {SLOW_SHARE:.0%} of the pause: raise switchover.pause_budget_ms, or have them rest"
                " while the switchover runs"
            )
        if stalled:
            raise CopyFailed(
                f"keys change faster than they can be copied: {len(self._changes)} wait, which would take"
                f" {self._changed.seconds:.1f} s; try again when less is written, or raise switchover.max_lag_ms"
            )

    async def keep_up(self) -> None:
        """Copy what changes, until L{end_keeping_up}. What is slow is left for the end.

        @raise CopyFailed: it had to begin anew, and never came near. @raise UplinkError: a server does not answer, or
            takes no more.
        """
        while not self._ending:
            began = self._clock.seconds()
            if self._begins_anew:
                await self.until_near()
            await self._round(but_slow=True)
            if self._verification is not None:
                await self._verification.look_again()
            took_s = self._clock.seconds() - began
            await self._nap_for(min(MOST_SLEEP_S, max(LEAST_SLEEP_S, took_s * SLEEP_SHARE)))

    async def _nap_for(self, seconds: float) -> None:
        if self._ending:
            return
        self._nap = deferLater(self._clock, seconds)
        try:
            await self._nap
        except CancelledError:
            if not self._ending:
                raise

    def end_keeping_up(self) -> None:
        """Have L{keep_up} end after what it is copying."""
        self._ending = True
        if self._nap is not None:
            self._nap.cancel()

    def _require_short_pass(self) -> None:
        """
        @raise CopyFailed: the clients are held, and copying all again would take too long.
        """
        if self._begins_anew and self._pass_s > self._slow_limit_s:
            raise CopyFailed(
                "when all had been copied and the clients were held, the connection that the old server tells of"
                " changes on was lost, or a command came that may change any key (SWAPDB); to copy all again takes"
                f" {self._pass_s:.1f} s, more than {SLOW_SHARE:.0%} of the pause: repeat the switchover"
            )

    async def rest(self) -> int:
        """Copy the rest; how many keys that were. The old server takes no writes any more.

        @raise CopyFailed: keys change all the same, or all would have to be copied again.
        @raise UplinkError: a server does not answer, or takes no more.
        """
        before = self._changed.copied
        for _ in range(LAST_ROUNDS):
            self._require_short_pass()
            await self._reopen_feed()
            told = await self.feed.last_word()
            self._require_short_pass()
            if told and self._changes.none:
                return self._changed.copied - before
            await self._round()
        raise CopyFailed("keys of the old server change although it should take no writes")

    def end(self) -> None:
        """Close the feed."""
        if self._feed is not None:
            self._feed.end()
