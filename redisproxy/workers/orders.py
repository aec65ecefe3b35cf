"""The orders that only workers take, and what they ask the control process for."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.protocols import amp

from redisproxy.remote.large import Large
from redisproxy.remote.link import Descriptor
from redisproxy.remote.order import Order, answering, taking
from redisproxy.shared.every_worker import ClientFilter


@dataclass(frozen=True)
class Introduction:
    """A data plane that was not started by its control process.

    @ivar number: of the worker, as which it was started; 0 for a process without workers.
    @ivar pid: of its process. @ivar version: of its program. @ivar age_s: how long it has been running.
    @ivar given, given_raw: how many connections it was given, the raw ones apart.
    @ivar last_id: the highest id of its clients. @ivar pausing: it holds clients for the operator.
    """

    number: int
    pid: int
    version: str
    age_s: float
    given: int
    given_raw: int
    last_id: int
    pausing: bool


ASKING_S = 3.0
"""A client that asks about clients of other workers waits for no longer."""


# -- to a worker


class TakeClient(Order):
    """Serve a connection that was accepted: of which listener, and whether only to say that it is one too many."""

    arguments = taking(listener=int, full=bool, descriptor=Descriptor())  # type: ignore[no-untyped-call]


class TellShared(Order):
    """What the clients of the worker share, for the one that replaces another; see C{dataplane.shared_value}."""

    response = answering(bytes)


class LearnShared(Order):
    """Know the scripts that clients of another data plane share, see C{dataplane.shared_value}; it ends soon."""

    arguments = taking(shared=bytes)


class TellScripts(Order):
    """Tell with L{ScriptsSeen}, on the link of this order, which scripts there are, and each new one from now on."""


class Introduce(Order):
    """Who the data plane is; for a control process that has not started it, or has been away."""

    response = answering(Introduction)


class End(Order):
    """End the process; its clients have gone, or are dropped."""


class LogTo(Order):
    """Log to this pipe from now on."""

    arguments = taking(descriptor=Descriptor())  # type: ignore[no-untyped-call]


# -- from a worker


class ScriptsSeen(amp.Command):
    """New scripts of clients, see C{dataplane.shared_value}. Answers to later orders come after it."""

    arguments = [(b"shared", Large())]  # type: ignore[no-untyped-call]  # noqa: RUF012


class ManyScriptsSeen(amp.Command):
    """The same in a file of this descriptor: what is larger than a socket's buffer would be lost with the worker."""

    arguments = [(b"descriptor", Descriptor())]  # type: ignore[no-untyped-call]  # noqa: RUF012


class Occupied(Order):
    """How many clients the worker has been given in its life, and how many of them are left; the same of raw ones."""

    arguments = taking(given=int, clients=int, given_raw=int, raw=int)


class Present(Order):
    """Which clients have come and gone since the worker told last: ids with addresses, and ids."""

    arguments = taking(came=tuple[tuple[int, str], ...], gone=frozenset[int])


class ListEverywhere(Order):
    """C{EveryWorker.list}."""

    limit_s = ASKING_S
    can_be_cancelled = True
    arguments = taking(which=ClientFilter)
    response = answering(bytes)


class KillEverywhere(Order):
    """C{EveryWorker.kill}."""

    limit_s = ASKING_S
    arguments = taking(which=ClientFilter, but=int)
    response = answering(int)


class UnblockEverywhere(Order):
    """C{EveryWorker.unblock}."""

    limit_s = ASKING_S
    arguments = taking(client_id=int, error=bool)
    response = answering(bool)
