"""Inputs of the framing targets: a byte that chooses options, one that chooses the cuts, and the stream."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from random import Random

MAX_SINGLE = 400


class Case:
    """One input, taken apart.

    @ivar choice: chooses among a target's options. @ivar stream: what is to be framed.
    """

    def __init__(self, data: bytes) -> None:
        self.choice = data[0] if data else 0
        self.random = Random(data[1] if len(data) > 1 else 0)
        self.stream = data[2:]

    def cuts(self) -> Iterator[list[bytes]]:
        """The stream whole, byte by byte when it is not too long, in two at a few places, and in several pieces."""
        size = len(self.stream)
        yield [self.stream]
        if size <= MAX_SINGLE:
            yield [self.stream[at : at + 1] for at in range(size)]
        for _ in range(3):
            yield self.cut([self.random.randint(0, size)])
        yield self.cut(sorted(self.random.randint(0, size) for _ in range(8)))

    def cut(self, places: list[int]) -> list[bytes]:
        """The stream, cut at `places`."""
        return [self.stream[start:end] for start, end in pairwise([0, *places, len(self.stream)])]
