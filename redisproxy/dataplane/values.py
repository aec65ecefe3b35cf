"""What orders of the control plane to a data plane answer, and how they fail: plain values, fit to cross processes.

Used through L{redisproxy.dataplane.interface}.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from redisproxy.forwarding.gate import GateReopened
from redisproxy.net.errors import (
    DatabaseRefused,
    OutcomeUnknown,
    ServerBusy,
    UplinkError,
    UplinkMoved,
    UplinkRefused,
    UplinkUnavailable,
)

# -- how an order fails


class Rejected(Exception):
    """The settings can't be used, and nothing has changed; C{str()} says why, a fault a line."""


class WrongOrder(Exception):
    """The order can't be given in this state: a bug in whoever gave it. Nothing has changed."""


class NotSupported(Exception):
    """This data plane does not know the order yet."""


class DataPlaneLost(Exception):
    """The data plane in another process can't be reached, or has not answered in time.

    Whether the order was carried out is unknown. The local one never fails like this.
    """


class HandoverRefused(Exception):
    """The client stays where it is. C{str()} says why."""


ERRORS: tuple[type[Exception], ...] = (
    HandoverRefused,
    Rejected,
    WrongOrder,
    NotSupported,
    DataPlaneLost,
    GateReopened,
    UplinkRefused,
    DatabaseRefused,
    ServerBusy,
    UplinkUnavailable,
    OutcomeUnknown,
    UplinkMoved,
    UplinkError,
)
"""Every exception that an order may fail with, the narrower classes first; each is told by its class and its text."""


# -- what orders answer


@dataclass(frozen=True)
class GateStatus:
    """The gate at one moment.

    @ivar state: C{running}, C{pausing} (closed, with commands in flight) or C{paused}.
    @ivar reasons: why it is closed, sorted; empty when it is open.
    @ivar in_flight: commands that were sent and not answered. @ivar held: clients that wait at the closed gate.
    @ivar busy: what an operator can do about a script for which the server answers nobody; empty when there is none.
    """

    state: str
    reasons: tuple[str, ...] = ()
    in_flight: int = 0
    held: int = 0
    busy: str = ""


@dataclass(frozen=True)
class Hold:
    """What became of C{hold}.

    @ivar closed: the gate was open before.
    @ivar may_watch: clients may have WATCHes, of those whose commands are in flight, too.
    """

    closed: bool
    gate: GateStatus
    may_watch: bool = True


@dataclass(frozen=True)
class Release:
    """What became of C{release}. All but C{gate} was sampled at the same moment, just before.

    @ivar opened: the gate was closed before and is open now.
    @ivar gate: what is now.
    @ivar closed_s: for how long it had been closed; None when it was open.
    @ivar held: how many clients had waited. @ivar longest_wait_s: how long the first of them; 0 without any.
    @ivar clients_closed: clients closed by the data plane since it began, by reason.
    @ivar held_course: how many had waited, over the time of the pause; see C{held_course}.
    """

    opened: bool
    gate: GateStatus
    closed_s: float | None = None
    held: int = 0
    longest_wait_s: float = 0.0
    clients_closed: Mapping[str, int] = field(default_factory=dict)
    held_course: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True)
class ClientInFlight:
    """A client that waits for replies of the server.

    @ivar cmd: the command whose reply it waits for first, in lower case; or its family, in parentheses.
    @ivar pending: how many replies it waits for.
    """

    id: int
    addr: str
    name: str
    cmd: str
    pending: int
    age_s: float


@dataclass(frozen=True)
class ClientLine:
    """A client as CLIENT LIST shows it.

    @ivar line: with its newline.
    """

    id: int
    line: bytes


@dataclass(frozen=True)
class HandedClient:
    """A client on its way from one data plane to another.

    @ivar state: what it is, a C{client.session_value.ClientValue} as bytes.
    @ivar descriptor: of its socket, in the process that takes it in.
    """

    state: bytes
    descriptor: int


@dataclass(frozen=True)
class Taker:
    """A data plane that takes clients in.

    @ivar path: the Unix socket at which it does. @ivar count: how many it is given at the most.
    """

    path: str
    count: int


@dataclass(frozen=True)
class HandedOver:
    """What became of C{hand_over}.

    @ivar taken: how many clients are with the others now.
    @ivar staying: how many were to go and are here still, by the reason.
    """

    taken: int
    staying: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class UplinkStatus:
    """The connections to the server in use.

    @ivar connections: all that are open. @ivar shared: those for clients without state. @ivar pinned: those for one
        client each. @ivar last_error: why the last attempt failed; empty since one succeeded.
    @ivar server: what it has told of itself (HELLO), as text and numbers.
    """

    connected: bool
    connections: int
    shared: int
    pinned: int
    last_error: str
    server: Mapping[str, object]


@dataclass(frozen=True)
class WorkerFigures:
    """One worker, as the process that has started it sees it.

    @ivar answers: it has said what follows; one that is too slow shows here.
    @ivar restarts: how often the worker of this number was replaced.
    @ivar clients: that are connected. @ivar commands: sent to the server since it was started.
    @ivar connected: it has a connection to the server in use. @ivar numbers: as in L{Figures}; no page shows them.
    @ivar leaving: it gets no clients any more, and ends when its last one has gone.
    """

    number: int
    pid: int
    answers: bool
    restarts: int
    clients: int
    in_flight: int = 0
    held: int = 0
    commands: int = 0
    connected: bool = False
    leaving: bool = False
    numbers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Figures:
    """All figures of a data plane, of one moment.

    @ivar listening: it accepts clients. @ivar clients_open: that are connected.
    @ivar blocked_waiting: blocking commands that wait in the proxy instead of at the server.
    @ivar numbers: counters and gauges by name; see C{figures.metrics}.
    @ivar clients_closed: by the data plane, by reason. @ivar refused: commands by name.
    @ivar native: the compiled parts are used. @ivar native_reason: why not. @ivar transports: which are used.
    @ivar workers: each of them; empty in one process.
    """

    gate: GateStatus
    uplink: UplinkStatus
    listening: bool
    clients_open: int
    blocked_waiting: int
    raw_connections: int
    numbers: Mapping[str, int]
    clients_closed: Mapping[str, int]
    refused: Mapping[str, int]
    native: bool
    native_reason: str
    transports: str
    workers: tuple[WorkerFigures, ...] = ()
