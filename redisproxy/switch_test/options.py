"""What a switch-test is asked to do."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """One run; `rate` is rounds of work a second of all busy clients together.

    @ivar data_mb: how much lies in the first server, in a database of its own, before the first switchover.
    @ivar reply_limit_s: a client that has waited so long for a reply counts as hanging.
    """

    switchovers: int = 20
    seed: int = 1
    kill: bool = False
    manual: bool = False
    busy: int = 20
    blocked: int = 20
    idle: int = 0
    value_bytes: int = 32
    rate: int = 2000
    data_mb: int = 0
    reply_limit_s: float = 15.0


def any_seed() -> int:
    """A seed that nobody has chosen."""
    return random.SystemRandom().randrange(1_000_000)
