"""What a data plane has begun by order of a control plane and not ended: a prepared move, and its holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redisproxy.config import Settings


class Brought(Enum):
    """How far C{bring} has come for the prepared move. It is never carried out twice for one."""

    NOTHING = "nothing"
    PART = "part"
    ALL = "all"


@dataclass
class Begun:
    """The state itself, in the data plane.

    @ivar settings: those in force. @ivar prepared: those of the prepared move.
    @ivar holds: reasons for which the control plane has closed the gate, without the operator's.
    @ivar held_at: when it was closed for a switchover, on the clock of the data plane.
    @ivar withdrawn: the control plane may undo the move now; see L{moving.Moves.withdraw}.
    """

    settings: Settings
    prepared: Settings | None = None
    same_listeners: bool = False
    brought: Brought = Brought.NOTHING
    holds: set[str] = field(default_factory=set)
    withdrawn: bool = False
    held_at: float | None = None


@dataclass(frozen=True)
class Standing:
    """What a new control plane is told of that.

    @ivar server: the address of the server in use. @ivar prepared: that of the prepared move; empty without one.
    @ivar holds: see L{Begun}, sorted. @ivar brought: see L{Brought}.
    """

    server: str
    prepared: str
    holds: tuple[str, ...]
    brought: str


def standing_of(begun: Begun) -> Standing:
    """What is told of `begun`."""
    prepared = begun.prepared
    return Standing(
        server=str(begun.settings.uplink.address),
        prepared="" if prepared is None else str(prepared.uplink.address),
        holds=tuple(sorted(begun.holds)),
        brought=begun.brought.value,
    )
