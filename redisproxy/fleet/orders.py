"""What peers ask of each other beside the orders of C{remote.orders}, as AMP commands."""

from __future__ import annotations

from dataclasses import dataclass

from redisproxy.dataplane.interface import Release
from redisproxy.remote.argument_types import PlainValue
from redisproxy.remote.order import Order, answering, taking

PREPARE_S = 30.0
MAX_VALUE_BYTES = 8 * 1024 * 1024
"""Of one value, such as a report, and of all that one peer may make another one keep."""


@dataclass(frozen=True)
class Introduction:
    """A peer, as it tells of itself.

    @ivar instance: of its process, which no other one has. @ivar name: where it listens for peers.
    @ivar state: of its gate, or that it shuts down. @ivar server: the address of the server in use.
    @ivar connected: it has a connection to that. @ivar operation: what runs there; empty for nothing.
    @ivar leads: that is an operation of the whole fleet, which it leads.
    """

    instance: str
    name: str
    version: str
    state: str
    server: str
    connected: bool
    clients: int
    held: int
    operation: str = ""
    leads: bool = False


class Introduce(Order):
    """Who the peer is, and how it is doing."""

    limit_s = 5.0
    arguments = taking(instance=str, name=str)
    response = answering(Introduction)


class Claim(Order):
    """Lead the peer in this operation from now on, until L{Dismiss} or the end of the connection.

    C{Rejected}: another operation runs there, or it shuts down.
    """

    decides = True
    arguments = taking(operation=str)


class PrepareMove(Order):
    """Read the own file, and prepare to go to the server that it names, as C{MoveOrders.prepare} does.

    C{Rejected}: it is not `target`, `server` is not in use there, or the file has faults. With `back`, the server
    before takes the place of what the file names.
    """

    limit_s = PREPARE_S
    decides = True
    arguments = taking(server=str, target=str, back=bool)


class PrepareFailover(Order):
    """Prepare to go to a replica that sentinels will promote most likely.

    C{Rejected}: no sentinels tell the peer where the primary is, or `primary` is not in use there. `limit_ms`: for how
    long the leader holds clients at the most.
    """

    limit_s = PREPARE_S
    decides = True
    arguments = taking(primary=str, host=str, port=int, limit_ms=int)


class ExpectPromotion(Order):
    """The leader gives the sentinels the order when every peer has answered this: lift no fence from here on.

    A peer that has lost its leader without answering it knows that no order was given, and that none will be.
    """

    decides = True


class BringToPromoted(Order):
    """This one was promoted and takes writes, and no client is there yet: bring there what the clients have."""

    limit_s = PREPARE_S
    decides = True
    arguments = taking(host=str, port=int)


class GoToPromoted(Order):
    """Go to the one that was promoted, and let the clients go on; answered when that is done.

    Whose clients have not been brought there makes no WATCH again: others may have written there since.
    """

    limit_s = PREPARE_S
    decides = True
    arguments = taking(host=str, port=int)
    response = answering(Release)


class ClientsClosed(Order):
    """How many clients were closed there so far, by reason."""

    response = answering(dict[str, int])


class WithdrawMove(Order):
    """The move may be undone: do not go to the new server, unless the leader is lost and has had time to undo it."""

    decides = True


class SetBack(Order):
    """Set back what this proxy had set at the server now in use, to have it follow, when it led a switchover.

    Answered with `knew`, whether it had, and `warnings`.
    """

    response = answering(PlainValue())


class LiftFence(Order):
    """Have the server that the operation was to leave take writes again: the leader can't reach it.

    Answered with whether it does. Given only when nobody goes to the new server any more.
    """

    decides = True
    response = answering(bool)


class Dismiss(Order):
    """The operation has ended, and this is its report; `server_before` in it says what it knows of that one."""

    arguments = taking(report=PlainValue())


class Pause(Order):
    """The operator's pause. @ivar wait: answer when every client is suspended; `timeout_ms` 0: the peer's own limit."""

    limit_s = None
    can_be_cancelled = True
    arguments = taking(wait=bool, timeout_ms=int)
    response = answering(PlainValue())


class Unpause(Order):
    """Take it back."""

    response = answering(PlainValue())


class AbortSwitchover(Order):
    """Abort the switchover that the peer leads; answered when everything is undone."""

    limit_s = None
    response = answering(PlainValue())


class GoOn(Order):
    """In external mode: the new server is promoted, and the peer, which leads, is to go on."""

    response = answering(PlainValue())
