"""The data plane's end of a link: takes orders, has them carried out, answers them in the order in which they end."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.protocols import amp
from twisted.python.failure import Failure

from redisproxy.remote.errors import DataPlaneFailed, VersionRefused, encoded
from redisproxy.remote.large import ProtocolBroken
from redisproxy.remote.link import Link
from redisproxy.remote.order import OLDEST, VERSION, Cancel, CutOff, Greet, Order, OrderFailed, StillThere

MAX_ORDERS = 1000
SILENCE_S = 5.0
"""A control plane that has sent nothing for so long is lost, whatever its connection says."""

Handler = Callable[..., Any]


class OrderServer(Link):
    """Takes orders from one control plane.

    @param handlers: what carries out each order, with its arguments, and returns its answer or a coroutine.
    @param on_greeted: the control plane is one that may give orders.
    @param silence_s: one that has sent nothing for so long is lost.
    """

    def __init__(
        self,
        clock: IReactorTime,
        handlers: Mapping[type[Order], Handler],
        on_lost: Callable[[Link], None],
        on_greeted: Callable[[OrderServer], None] = lambda link: None,
        silence_s: float = SILENCE_S,
    ) -> None:
        super().__init__(clock, on_lost)
        own: dict[type[Order], Handler] = {Greet: self._greet, StillThere: lambda: None}
        self._handlers = {order.commandName: (order, handler) for order, handler in {**handlers, **own}.items()}
        self._on_greeted = on_greeted
        self._silence_s = silence_s
        self._running: dict[int, tuple[type[Order], Deferred[Any]]] = {}
        self._greeted = False
        self._silence: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Part of C{IProtocol}."""
        self._silence = self.clock.callLater(self._silence_s, self._maybe_silent)

    def ampBoxReceived(self, box: amp.AmpBox) -> None:
        """Part of AMP: a box is whole."""
        if self._silence is not None and self._silence.active():
            self._silence.cancel()
            self._silence = self.clock.callLater(self._silence_s, self._maybe_silent)
        super().ampBoxReceived(box)

    def _maybe_silent(self) -> None:
        # If it was this process that stood still, what has come meanwhile is read only after its timers.
        self._silence = self.clock.callLater(0, self._silent)

    def _silent(self) -> None:
        self.log.error("the connection is closed: the control plane has been silent for {s:g} s", s=self._silence_s)
        self.abort()

    def responder(self, name: bytes) -> Callable[[amp.AmpBox], Any] | None:
        """Who takes this order."""
        if name == Cancel.commandName:
            return self._cancel
        if name not in self._handlers:
            return None
        order, handler = self._handlers[name]
        return lambda box: self._take(order, handler, box)

    def _greet(self, oldest: int, newest: int) -> int:
        spoken = min(VERSION, newest)
        if spoken < max(OLDEST, oldest):
            raise VersionRefused(
                f"this side takes orders of version {OLDEST} to {VERSION}, and the other one gives {oldest} to"
                f" {newest}: start programs of the same version on both sides"
            )
        self._greeted = True
        self._on_greeted(self)
        return spoken

    def _take(self, order: type[Order], handler: Handler, box: amp.AmpBox) -> Deferred[amp.AmpBox]:
        try:
            number = self._checked(order, int(box[b"number"]))
            arguments = order.parseArguments(box, self)  # a descriptor among them is the handler's from here on
        except (ValueError, KeyError) as error:
            self.broken(f"the order {order.__name__} with {error if isinstance(error, ProtocolBroken) else 'nonsense'}")
            return Deferred()  # AMP would log what was sent
        del arguments["number"]
        running = _begun(handler, arguments)
        self._running[number] = order, running
        running.addBoth(self._ended, order, number)
        return running

    def _checked(self, order: type[Order], number: int) -> int:
        if number in self._running or len(self._running) >= MAX_ORDERS:
            raise ProtocolBroken(f"the number of one that runs, or more than {MAX_ORDERS} at a time")
        if not self._greeted and order is not Greet:
            raise ProtocolBroken("no greeting before it")
        return number

    def _ended(self, result: Any, order: type[Order], number: int) -> Any:
        del self._running[number]
        if not isinstance(result, Failure):
            try:
                return order.makeResponse({"answer": result} if order.response else {}, self)
            except Exception:
                result = Failure()
        return Failure(amp.RemoteAmpError(Order.errors[OrderFailed], self._told(result, order)))

    def _told(self, failure: Failure, order: type[Order]) -> str:
        if (text := encoded(failure.value)) is not None:
            return text
        self.log.failure("the order {order} failed", failure=failure, order=order.__name__)
        unknown = encoded(DataPlaneFailed(f"the order {order.__name__} failed; the log of the data plane says why"))
        assert unknown is not None
        return unknown

    def _cancel(self, box: amp.AmpBox) -> Deferred[amp.AmpBox]:
        order, running = self._running.get(Cancel.parseArguments(box, self)["number"], (Order, succeed(None)))
        if order.can_be_cancelled:
            running.cancel()
        return succeed(amp.AmpBox())

    def tell(self, what: type[amp.Command], **arguments: Any) -> Deferred[Any]:
        """Tell the control plane something that it has asked to be told, before anything else happens; fires when
        it was heard."""
        told: Deferred[Any] = self.callRemote(what, **arguments)
        self.send_now()
        return told

    def cut_off(self) -> None:
        """Another control plane takes this one's place: say so, and disconnect."""
        transport: Any = self.transport
        self.callRemote(CutOff)
        transport.loseConnection()
        self._gone()

    def end_work(self) -> None:
        """Part of L{Link}: nobody waits for what is being done."""
        if self._silence is not None and self._silence.active():
            self._silence.cancel()
        for order, running in list(self._running.values()):
            if order.can_be_cancelled and not order.survives_loss:
                running.cancel()


def _begun(handler: Handler, arguments: dict[str, Any]) -> Deferred[Any]:
    def begin() -> Any:
        result = handler(**arguments)
        return ensureDeferred(result) if isinstance(result, Coroutine) else result

    return maybeDeferred(begin)
