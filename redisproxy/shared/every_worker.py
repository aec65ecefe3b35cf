"""What one worker may ask about the clients of all workers; without workers nobody is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


@dataclass(frozen=True)
class ClientFilter:
    """Which clients; everything that is set has to be true of one.

    @ivar ids: one of these. @ivar pubsub: whether it has subscriptions. @ivar address: its own, as CLIENT LIST shows
        it. @ivar local_address: that of the listener. @ivar user: who it has logged in as.
    @ivar min_age_s: connected for at least so long.
    """

    ids: frozenset[int] | None = None
    pubsub: bool | None = None
    address: str | None = None
    local_address: str | None = None
    user: bytes | None = None
    min_age_s: float = 0.0


class NotAnswered(Exception):
    """A worker has not answered in time, or its answer can't be had; C{str()} says which."""


class EveryWorker(Protocol):
    """The clients of all workers. Every question fails with L{NotAnswered} after a bounded time."""

    def list(self, which: ClientFilter) -> Deferred[bytes]:
        """The lines of CLIENT LIST for these, in order of their ids."""

    def kill(self, which: ClientFilter, but: int) -> Deferred[int]:
        """Disconnect these, except for the one with the id `but`; how many there were."""

    def unblock(self, client_id: int, error: bool) -> Deferred[bool]:
        """End the blocking command of this client; False when it has none."""
