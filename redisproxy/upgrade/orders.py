"""What a process tells the one that takes its place. They share the version of the orders to data planes.

The link between the two is the process's life as well: a successor that loses it before L{TakeCharge} hands back what
it has, and ends; if the other process is gone, it takes charge by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from redisproxy.remote.argument_types import PlainValue
from redisproxy.remote.order import Order, answering, taking


@dataclass(frozen=True)
class Ready:
    """A successor that could serve.

    @ivar pid: of its process. @ivar version: of its program.
    @ivar doors: the Unix sockets at which it takes clients in.
    """

    pid: int
    version: str
    doors: tuple[str, ...]


class GetReady(Order):
    """Connect to the server, which has to be C{server}, the one in use; fails with C{Rejected} if that can't be.

    C{shared} is what clients share now; it is told again with L{TakeShared}.
    """

    limit_s = None
    can_be_cancelled = True
    arguments = taking(server=str, shared=bytes, limit_s=float)
    response = answering(Ready)


class TakeShared(Order):
    """What all clients share; see C{dataplane.shared_value}. Before the first of them, and after the last one."""

    arguments = taking(shared=bytes)


class Accept(Order):
    """Accept clients from now on. With C{paused} they are held, by the operator's order.

    C{back} are the Unix sockets at which they are taken back.
    """

    arguments = taking(paused=bool, back=tuple[str, ...])


class TakeCharge(Order):
    """Be the proxy: open the admin pages, write the pidfile. C{history} is what the pages show of the past."""

    decides = True
    arguments = taking(history=PlainValue())  # type: ignore[no-untyped-call]


class GivenUp(Order):
    """The other process has given its place up, and will not go on. Before this no move may begin: one that does not
    hear that this process is in charge ends it, and goes on where clients have been."""
