"""The seam between a switchover and what copies for it: orders and answers as plain values.

One L{Copying} copies from one server to another, once. It runs in a process of its own, so that clients notice nothing;
C{copying.engine} does the work, wherever it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from redisproxy.net.errors import UplinkError

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.config import Settings


class CopyFailed(UplinkError):
    """The copy can't go on; C{str()} says why, and what to do. The old server is as it was."""


@dataclass(frozen=True)
class Survey:
    """What there is to copy, and how that would go.

    @ivar keys: in all databases. @ivar data_bytes: the memory that the old server uses for them, about.
    @ivar by_type: the types that are copied by type, because the new server can't RESTORE them, each with the reason.
    @ivar not_whole: what the new server can't hold, in words.
    @ivar seconds: how long the copying may take, about.
    @ivar faults: why it can't be done.
    @ivar feed: how the old server tells what changes: C{tracking} or C{notifications}.
    @ivar notify: its C{notify-keyspace-events}, and what it has to be while the copy runs; empty if it may stay.
    """

    keys: int
    data_bytes: int
    by_type: tuple[str, ...] = ()
    not_whole: tuple[str, ...] = ()
    seconds: float = 0.0
    faults: tuple[str, ...] = ()
    feed: str = "tracking"
    notify: tuple[str, ...] = ()


@dataclass(frozen=True)
class CopyProgress:
    """How far it is.

    @ivar keys: of C{total_keys}, copied in the pass over all keys. @ivar data_bytes: sent to the new server.
    @ivar keys_per_s: the rate of late. @ivar seconds_left: of the pass over all keys; None when it can't be told.
    @ivar changed: keys that have changed and wait to be copied again.
    @ivar lag_ms: how long copying those would take.
    @ivar passes: how often a pass over all keys was begun.
    @ivar compared: keys that were compared before the pause.
    """

    keys: int = 0
    total_keys: int = 0
    data_bytes: int = 0
    keys_per_s: float = 0.0
    seconds_left: float | None = None
    changed: int = 0
    lag_ms: float = 0.0
    passes: int = 0
    compared: int = 0


@dataclass(frozen=True)
class Rest:
    """What was copied last, behind the fence.

    @ivar keys: how many keys that was.
    @ivar losses: what the new server does not hold of all that was copied since the beginning, in words.
    @ivar all_streams: the groups of every stream were compared.
    """

    keys: int
    losses: tuple[str, ...] = ()
    all_streams: bool = True


@dataclass(frozen=True)
class Proof:
    """What was compared behind the fence.

    @ivar keys: how many keys there are. @ivar compared: how many of them were compared with their values.
    @ivar differences: what differs, in words; empty if nothing does.
    """

    keys: int
    compared: int
    differences: tuple[str, ...] = ()


class Copying(Protocol):
    """Copies one server's keys to another. The sequence is C{survey}, C{copy}, C{near}, C{copy_rest}, C{verify},
    C{stop}.

    Each order fails with an L{UplinkError}, of which L{CopyFailed} is one, and nothing else; afterwards only C{stop}
    is left. C{copy}, C{near}, C{copy_rest} and C{verify} can be cancelled. Nothing but the copy writes to the new
    server.
    """

    def survey(self) -> Deferred[Survey]:
        """Log in at both servers, and try how they can be copied. Changes nothing that lasts."""

    def copy(self, replace: bool) -> Deferred[tuple[str, ...]]:
        """Copy all keys beside the load; fire when so little is left that it fits the pause.

        It fires with what the new server does not hold of what was copied, in words. From then on changes are copied as
        they come, until L{copy_rest}.

        @param replace: empty the new server first.
        """

    def note(
        self, names: tuple[bytes, ...], perhaps: tuple[tuple[int, bytes], ...], everything: bool, flushed: bool
    ) -> Deferred[None]:
        """Take note of keys that were changed by commands of which the old server tells nothing. While L{copy} is under
        way or after it, before L{copy_rest}.

        @param perhaps: keys with their databases, changed if they are streams or of a module's type.
        @param everything: any key may have changed. @param flushed: databases were emptied.
        """

    def near(self) -> Deferred[None]:
        """After L{copy}: fire when so little is left that it fits the pause, which is the case but for rare events.

        These are a command that may change any key, and changes that were not told; all keys are copied again then.
        """

    def copy_rest(self) -> Deferred[Rest]:
        """Copy what has changed since, and fire when both servers have the same. The old server takes no writes."""

    def verify(self, seconds: float) -> Deferred[Proof]:
        """Compare the servers, as C{switchover.verify} says, for so many seconds at the most. After L{copy_rest}."""

    def progress(self) -> Deferred[CopyProgress]:
        """How far it is. At any time."""

    def stop(self) -> Deferred[None]:
        """End everything, in an orderly way. At any time; twice is the same as once."""


StartCopying = Callable[["Settings", "Settings"], Copying]
"""Makes what copies from the uplink of the first settings to that of the second, by those second settings."""
