"""What all steps of a switchover work with, and what they know and have done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime

from redisproxy.servers.state import ServerState
from redisproxy.switchover.preflight import Source
from redisproxy.switchover.replica import Following

if TYPE_CHECKING:
    from redisproxy.config import SwitchoverSettings
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.switchover.both_servers import BothServers
    from redisproxy.switchover.cut import Cut
    from redisproxy.switchover.pause import Pause
    from redisproxy.switchover.report import Journal


@dataclass
class State:
    """What is known of both servers, and what has been done to them that may have to be undone.

    @ivar old, new: as the preflight has found them. @ivar source: where the new one replicates from.
    @ivar following: how it does. @ivar history: the name of the data's history, which both have once they are in sync.
    @ivar follows: the new one has been made a replica. @ivar fenced: the old one may refuse writes.
    @ivar promoted: the new one may be a primary. @ivar swap_ordered: the clients may be on the new one.
    @ivar swapped: they are.
    """

    old: ServerState = field(default_factory=lambda: ServerState({}))
    new: ServerState = field(default_factory=lambda: ServerState({}))
    source: Source = field(default_factory=lambda: Source("", 0))
    following: Following = field(default_factory=lambda: Following(Source("", 0), None, None))
    history: str = ""
    follows: bool = False
    fenced: bool = False
    promoted: bool = False
    swap_ordered: bool = False
    swapped: bool = False


@dataclass(frozen=True)
class Context:
    """What one switchover works with.

    @ivar dataplane: with the new settings prepared; whoever has prepared them abandons them if it fails.
    """

    servers: BothServers
    dataplane: DataPlane
    cut: Cut
    pause: Pause
    settings: SwitchoverSettings
    journal: Journal
    clock: IReactorTime
    state: State = field(default_factory=State)
