"""Compares two servers: which keys differ, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from twisted.internet.interfaces import IReactorTime

from redisproxy.copying.endpoint import Endpoint

MAX_DIFFERENCES = 100
DEFAULT_SAMPLE = 10_000


class Depth(Enum):
    """How much is compared: the numbers of keys, a sample of the keys as well, or all of them."""

    COUNTS = "counts"
    SAMPLE = "sample"
    ALL = "all"


@dataclass(frozen=True)
class Difference:
    """One difference.

    @ivar key: the key's name; None if the numbers of keys differ, or the functions.
    @ivar kind: its type at the source, or at the target if it is only there; empty without a key.
    @ivar why: what differs, in words: C{missing}, C{extra}, C{type: set}, C{TTL: 12 ms longer}, C{value} and the like.
    """

    db: int
    key: bytes | None
    kind: str
    why: str


@dataclass(frozen=True)
class Comparison:
    """What was compared, and what differs.

    @ivar keys: the number of keys at the source and at the target, by database.
    @ivar compared: how many keys of the source were compared.
    @ivar differences: what differs, L{MAX_DIFFERENCES} at most.
    @ivar more: how many differences are not in the list.
    @ivar complete: it was not cut short by the limit of time.
    @ivar unread: keys whose values could not be compared, because they are of unknown types.
    """

    keys: Mapping[int, tuple[int, int]]
    compared: int
    differences: Sequence[Difference]
    more: int = 0
    complete: bool = True
    unread: int = 0

    @property
    def same(self) -> bool:
        """Whether no difference was found."""
        return not self.differences


@dataclass(frozen=True)
class Extent:
    """How much is to be compared.

    @ivar sample: how many keys with C{SAMPLE}.
    @ivar first: keys, with their databases, that are compared before all others with C{SAMPLE}: those changed last.
    @ivar seconds: the limit of time; None: none. Counts are compared whatever it is.
    """

    depth: Depth = Depth.SAMPLE
    sample: int = DEFAULT_SAMPLE
    first: Sequence[tuple[int, bytes]] = ()
    seconds: float | None = None


async def compare(
    source: Endpoint,
    target: Endpoint,
    extent: Extent,
    clock: IReactorTime,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Comparison:
    """Compare the servers in all databases that have keys; the connections are left on any database.

    Keys that expire meanwhile are no differences. With writes going on at either server a difference may be one of
    time only: it is looked at again, three times in all, before it counts.

    @param clock: the time for C{extent.seconds}.
    @param progress: called with how many keys have been compared, of how many.
    @raise UplinkError: a server did not answer.
    """
    raise NotImplementedError
