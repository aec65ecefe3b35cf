"""How much of a shared connection one client may take: on a command's path this decides between shared and own.

On a shared connection everybody waits for the replies before his own, which on Redis itself nobody does. So a client
may ask for little at first, for more while replies are small, and whoever others would have to wait for gets a
connection to itself: for large replies, for scripts, which may never end, and for what has held others up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from redisproxy.client.receive_buffer import ReceiveBuffer
    from redisproxy.forwarding.twins import Lane
    from redisproxy.shared.core import Core

FIRST_REPLIES = 16
"""For so many replies a client may wait at first, and again after each second."""
MOST_REPLIES = 1024
"""And for so many at the most on a shared connection; on its own C{max_in_flight_per_client} bounds it."""
LEAST_REPLIES = 8
GROWTH = 4
WINDOW_BYTES = 4194304
"""So much a client may have asked for at one time, by the size of its replies so far: neither Redis nor the proxy has
to hold more for a client that does not read, and others are not kept waiting while it is made."""
LARGE_REPLY_BYTES = 16384
"""Larger ones than this on average are large."""
KEPT_S = 10.0
"""A client that has sent nothing for so long does not need a connection of its own."""
KEPT_WHEN_SHORT_S = 1.0
"""Nor one that has sent nothing for so long, when no more connections are to be had."""
AGAIN_S = 1.0
"""So long a client that could not get a connection of its own does without."""


class Owner(Protocol):
    """The client whose share it is."""

    @property
    def closed(self) -> bool:
        """Whether it has gone."""

    def apply_framing(self) -> None:
        """It gets a connection of its own with its next command, or needs none any more."""


class FairShare:
    """One client's share.

    @ivar dedicated: it has a connection of its own, or gets one with its next command, although it has no state there.
    """

    __slots__ = ("_core", "_denied_until", "_lane", "_owner", "_received", "dedicated")

    def __init__(self, core: Core, lane: Lane, received: ReceiveBuffer, owner: Owner) -> None:
        self._core = core
        self._lane = lane
        self._received = received
        self._owner = owner
        self._denied_until = 0.0
        self.dedicated = False
        self.begin()

    def begin(self) -> None:
        """Start with a small share; to be called every second, because a client may change its mind."""
        self._set(FIRST_REPLIES)

    def _set(self, replies: int) -> None:
        limit = min(replies, self._core.limits.max_in_flight)
        if limit != self._lane.limit:
            self._lane.limit = self._received.framer.max_run = limit

    def widen(self) -> None:
        """Half of what the client may wait for has been answered: let it have more, or a connection of its own."""
        lane = self._lane
        average = lane.reply_bytes // max(1, lane.replies)
        lane.replies = lane.reply_bytes = 0
        if average > LARGE_REPLY_BYTES:
            self.dedicate()
        most = self._core.limits.max_in_flight if self.dedicated else MOST_REPLIES
        self._set(max(LEAST_REPLIES, min(lane.limit * GROWTH, WINDOW_BYTES // max(1, average), most)))

    def dedicate(self) -> None:
        """Have a connection of its own from the next command on, as long as there may be one more of these."""
        core = self._core
        uplinks = core.uplinks
        full = core.dedicated >= core.limits.max_dedicated or uplinks.crowded or uplinks.short
        if self.dedicated or full or not core.multiplex or self._owner.closed:
            return
        if core.clock.seconds() < self._denied_until:
            return
        core.dedicated += 1
        self.dedicated = True
        self._changed()

    def needless(self, idle_s: float) -> bool:
        """Whether there is a connection that a client which has sent nothing for so long does not need."""
        return self.dedicated and idle_s >= (KEPT_WHEN_SHORT_S if self._core.uplinks.short else KEPT_S)

    def second_passed(self) -> None:
        """Begin again with a small share."""
        if self._lane.limit != FIRST_REPLIES or self._core.limits.max_in_flight < FIRST_REPLIES:
            self.begin()

    def denied(self) -> None:
        """There is no connection of its own for the client: it goes on where the others are."""
        self._denied_until = self._core.clock.seconds() + AGAIN_S
        self.give_back()

    def give_back(self) -> None:
        """Need no connection of its own any more."""
        if self.dedicated:
            self._core.dedicated -= 1
            self.dedicated = False
            self._changed()

    def _changed(self) -> None:
        self._lane.queue = None  # the next command has to look where it goes
        self.begin()
        self._owner.apply_framing()
