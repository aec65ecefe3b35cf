"""What all orders from a control plane to a data plane have in common on the wire; which there are is in L{orders}.

Each order has a number, by which it can be cancelled. Its failure is one AMP error, whose text is a JSON document:
which error of the interface it is, and its fields.
"""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.protocols import amp

from redisproxy.remote.argument_types import Typed

VERSION = 1
"""Of the orders. Each side speaks its own version and that of the release before; the lower one is spoken."""
OLDEST = 1

NUMBER = (b"number", amp.Integer())


class OrderFailed(Exception):
    """An order has failed, as it is on the wire; C{str()} is the JSON document."""


class Order(amp.Command):
    """One order. It is answered with C{answer}, or with nothing.

    @cvar limit_s: how long its answer may take; None for as long as the connection lasts.
    @cvar can_be_cancelled: whether cancelling it ends the work; it is carried out all the same otherwise.
    @cvar survives_loss: it is not cancelled when the connection is lost, but comes to its end.
    @cvar decides: when the answer does not come in time, nobody knows what the data plane has done, and the connection
        is given up: what is lost with it is decided by the rules for that.
    @cvar ends_others: orders that are carried out at that moment may be given up by it.
    """

    limit_s: ClassVar[float | None] = 10.0
    can_be_cancelled: ClassVar[bool] = False
    survives_loss: ClassVar[bool] = False
    decides: ClassVar[bool] = False
    ends_others: ClassVar[bool] = False
    arguments = [NUMBER]  # noqa: RUF012
    errors = {OrderFailed: b"FAILED"}  # noqa: RUF012


def taking(**kinds: Any) -> list[tuple[bytes, amp.Argument]]:
    """The arguments of an order: names with their types, or with AMP arguments."""
    return [NUMBER, *((name.encode(), _argument(kind)) for name, kind in kinds.items())]


def answering(kind: Any) -> list[tuple[bytes, amp.Argument]]:
    """The answer of an order: its type, or its AMP argument."""
    return [(b"answer", _argument(kind))]


def _argument(kind: Any) -> amp.Argument:
    return kind if isinstance(kind, amp.Argument) else Typed(kind)


class Greet(Order):
    """The first of all: which versions the control plane speaks; answered with the one that is spoken from now on."""

    arguments = taking(oldest=int, newest=int)
    response = answering(int)


class Cancel(amp.Command):
    """Nobody waits for the answer to this order any more, and what it has begun is to be undone."""

    arguments = [NUMBER]  # noqa: RUF012
    requiresAnswer = False


class CutOff(amp.Command):
    """To a control plane: another one gives the orders from now on."""

    requiresAnswer = False


class StillThere(Order):
    """Shows that the control plane works. One that is silent is as good as lost."""

    limit_s = 5.0
    decides = True
