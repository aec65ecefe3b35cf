"""Moments at which something happens to whoever carries orders out: drawn from the seed, counted by the orders."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.protocols import amp

from redisproxy.remote.order_server import OrderServer

Responder = Callable[[amp.AmpBox], Any]

LATE = ("ProveWatches", "Bring", "Swap", "ReleaseGate")
OF_A_MOVE = ("Prepare", "Connect", "HoldGate", "Drained", "Abandon", *LATE, *LATE)
MOMENTS = ("before", "during", "after")
"""Of the order: it does not arrive; it has begun; it is done and not answered."""


class Moments:
    """Has something happen at the so many-th order of a name.

    @param deed: what happens, with the server that has got the order and a text that says when; true when the order is
        carried out all the same, if it had not begun.
    @param over: whether nothing is to happen any more.
    @ivar orders: how many of each name there have been.
    """

    def __init__(
        self,
        chance: Random,
        counts: tuple[int, ...],
        deed: Callable[[OrderServer, str], bool],
        over: Callable[[], bool],
        names: tuple[str, ...] = OF_A_MOVE,
    ) -> None:
        pick = chance.choice
        drawn = [(pick(names), pick((1, 1, 1, 2, 3)), pick(MOMENTS)) for _ in range(pick(counts))]
        self.orders: dict[str, int] = {}
        self._left = drawn
        self._deed = deed
        self._over = over

    def forget(self) -> None:
        """Nothing happens."""
        self._left.clear()

    def watch(self, server: OrderServer) -> None:
        """Look at all orders that arrive here."""
        original = server.responder

        def responder(name: bytes) -> Responder | None:
            return self._may_happen(server, name.decode(), original(name))

        server.responder = responder  # type: ignore[method-assign]

    def _may_happen(self, server: OrderServer, name: str, responder: Responder | None) -> Responder | None:
        self.orders[name] = self.orders.get(name, 0) + 1
        if responder is None or self._over():
            return responder
        for at, (order, left, moment) in enumerate(self._left):
            if order == name:
                self._left[at] = order, left - 1, moment
                if left == 1:
                    del self._left[at]
                    return self._happening(server, name, moment, responder)
        return responder

    def _happening(self, server: OrderServer, name: str, moment: str, responder: Responder) -> Responder:
        when = f"{moment} {name}"

        def respond(box: amp.AmpBox) -> Any:
            if moment == "before" and not self._deed(server, when):
                return Deferred()
            answer = responder(box)
            if moment == "during" or (answer.called and moment != "before"):
                self._deed(server, when)
            elif moment == "after":
                answer.addBoth(self._after, server, when)
            return answer

        return respond

    def _after(self, result: Any, server: OrderServer, when: str) -> Any:
        self._deed(server, when)
        return result
