"""What all clients share: the gate, the uplink of the moment, the rules and limits of the current configuration.

It is handed to the client factories when the service is built. A reload replaces what changes here, between two turns
of the reactor, and so for every client at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from redisproxy.commands.lookup import CommandTable
from redisproxy.figures.hot_keys import HotKeys
from redisproxy.figures.slow_log import SlowLog
from redisproxy.net.few_lines import FewLines
from redisproxy.shared.blocked_commands import BlockedCommands
from redisproxy.shared.maintenance import Maintenance
from redisproxy.shared.notes import Notes
from redisproxy.shared.scan_cursors import ScanCursors
from redisproxy.shared.script_cache import ScriptCache
from redisproxy.shared.subscription_changes import SubscriptionChanges

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from redisproxy.figures.metrics import Metrics
    from redisproxy.forwarding.gate import Gate
    from redisproxy.forwarding.interfaces import Uplinks
    from redisproxy.shared.every_worker import EveryWorker


MAX_SCRIPT_BYTES = 16777216


@dataclass(frozen=True)
class ClientLimits:
    """Bounds for one client; sizes in bytes."""

    max_held_request_bytes: int = 262144
    max_bulk_bytes: int = 536870912
    max_in_flight: int = 10000
    output_hard_bytes: int = 67108864
    max_transaction_bytes: int = 1048576
    max_transaction_commands: int = 10000
    max_failed_logins: int = 10
    max_dedicated: int = 256


@dataclass
class Core:
    """The shared part of the command path. Only the service assigns to it.

    @ivar uplinks: the set of connections to the current Redis server.
    @ivar multiplex: whether clients without state share connections.
    @ivar log_messages: log each command's name and size. @ivar log_clients: log each client that comes and leaves.
    @ivar scripts: the scripts that have passed.
    @ivar cursors: which server a cursor of SCAN comes from.
    @ivar dedicated: how many clients have a connection of their own although no state of theirs is bound to it.
    @ivar subscription_changes: those for which publishers wait.
    @ivar blocked_commands: where blocking commands wait during a switch.
    @ivar maintenance: who is told of pauses.
    @ivar notes: what clients change silently while a copy is being made; always the same object.
    @ivar slow_log: the commands that took long. @ivar hot_keys: the keys that are used most.
    @ivar closed_lines: how much the log is told of clients that the proxy closes.
    @ivar every_worker: where to ask about clients of all workers; None when this process has them all.
    """

    gate: Gate
    metrics: Metrics
    clock: IReactorTime
    uplinks: Uplinks
    table: CommandTable = field(default_factory=CommandTable)
    limits: ClientLimits = field(default_factory=ClientLimits)
    multiplex: bool = True
    log_messages: bool = False
    log_clients: bool = False
    scripts: ScriptCache = field(default_factory=lambda: ScriptCache(MAX_SCRIPT_BYTES))
    cursors: ScanCursors = field(default_factory=ScanCursors)
    notes: Notes = field(default_factory=Notes)
    dedicated: int = 0
    every_worker: EveryWorker | None = None
    blocked_commands: BlockedCommands = field(init=False)
    subscription_changes: SubscriptionChanges = field(init=False)
    maintenance: Maintenance = field(init=False)
    slow_log: SlowLog = field(init=False)
    hot_keys: HotKeys = field(init=False)
    closed_lines: FewLines = field(init=False)

    def __post_init__(self) -> None:
        self.blocked_commands = BlockedCommands(self.clock)
        self.subscription_changes = SubscriptionChanges(self.clock)
        self.maintenance = Maintenance(self.gate, self.clock)
        self.slow_log = SlowLog(self.gate.flow, self.clock.seconds)
        self.hot_keys = HotKeys(self.gate.flow, self.clock.seconds)
        self.closed_lines = FewLines(self.clock.seconds)
