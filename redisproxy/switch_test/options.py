"""What a switch-test is asked to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """One run; `rate` is commands a second of all busy clients together."""

    switchovers: int = 20
    seed: int = 1
    kill: bool = False
    manual: bool = False
    busy: int = 20
    blocked: int = 20
    idle: int = 0
    value_bytes: int = 32
    rate: int = 2000
