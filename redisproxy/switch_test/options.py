"""The options of a switch-test."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """The options of one run.

    @ivar back: every second switchover goes back to the server before, which has followed meanwhile.
    @ivar mode: how the data moves, as C{switchover.mode} has it.
    @ivar workers: how many processes of the proxy carry commands, as the setting of that name has it.
    @ivar upgrades: so many times, spread evenly among the switchovers, the program on disk takes the proxy's place.
    @ivar failovers: so many times sentinels are told to fail over, instead of switchovers; C{program_a} is the program
        of all servers and sentinels then.
    @ivar program_a, program_b: the programs of the two servers; empty for redis-server as it is on PATH.
    @ivar rate: rounds of work a second, of all busy clients together.
    @ivar data_mb: the size of the data set that is in the first server before the first switchover.
    @ivar between_s: the longest pause before a move; half of it on average.
    @ivar reply_limit_s: a client that waits longer for a reply counts as hanging.
    """

    switchovers: int = 20
    seed: int = 1
    kill: bool = False
    manual: bool = False
    back: bool = False
    mode: str = "replicate"
    workers: int = 1
    upgrades: int = 0
    failovers: int = 0
    program_a: str = ""
    program_b: str = ""
    busy: int = 20
    blocked: int = 20
    idle: int = 0
    value_bytes: int = 32
    rate: int = 2000
    data_mb: int = 0
    between_s: float = 0.1
    reply_limit_s: float = 15.0

    @property
    def wanted(self) -> int:
        """How many switchovers or failovers."""
        return self.failovers or self.switchovers


def any_seed() -> int:
    """A random seed."""
    return random.SystemRandom().randrange(1_000_000)
