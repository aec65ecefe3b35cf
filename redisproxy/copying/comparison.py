"""How much of two servers is compared, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from redisproxy.copying.differences import Difference

MAX_DIFFERENCES = 100
"""How many differences are named."""
DEFAULT_SAMPLE = 10_000


class Depth(Enum):
    """How much is compared: the numbers of keys, a sample of the keys as well, or all of them."""

    COUNTS = "counts"
    SAMPLE = "sample"
    ALL = "all"


@dataclass(frozen=True)
class Extent:
    """How much is to be compared.

    @ivar sample: how many keys with C{SAMPLE}.
    @ivar first: keys, with their databases, that are compared before all others with C{SAMPLE}: those changed last.
    @ivar seconds: the limit of time; None: none. Counts and functions are compared whatever it is.
    """

    depth: Depth = Depth.SAMPLE
    sample: int = DEFAULT_SAMPLE
    first: Sequence[tuple[int, bytes]] = ()
    seconds: float | None = None


@dataclass
class Comparison:
    """What was compared, and what differs.

    @ivar keys: the number of keys at the source and at the target, by database.
    @ivar compared: how many keys were compared.
    @ivar differences: what differs, L{MAX_DIFFERENCES} at most.
    @ivar more: how many differences are not in the list.
    @ivar unread: how many keys' values could not be compared: of a type that can't be read, or changing all the time.
    @ivar complete: the limit of time did not cut it short.
    """

    keys: Mapping[int, tuple[int, int]]
    compared: int = 0
    differences: list[Difference] = field(default_factory=list)
    more: int = 0
    unread: int = 0
    complete: bool = True

    @property
    def same(self) -> bool:
        """Whether no difference was found."""
        return not self.differences

    def note(self, difference: Difference) -> None:
        """Take in a difference."""
        if len(self.differences) < MAX_DIFFERENCES:
            self.differences.append(difference)
        else:
            self.more += 1
