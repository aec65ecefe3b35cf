"""The control plane's end of a link: gives orders, and waits for their answers within their deadlines."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.protocols import amp
from twisted.python.failure import Failure

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.remote.errors import NotSent, decoded, unknown_order
from redisproxy.remote.link import Link
from redisproxy.remote.order import OLDEST, VERSION, Cancel, CutOff, Greet, Order, OrderFailed, StillThere

BEAT_S = 1.0


class OrderClient(Link):
    """Gives orders. Answers come in any order; one that comes too late, or after it was cancelled, is ignored.

    @ivar version: of the orders that the other side takes; 0 before the greeting.
    @ivar cut_off: another control plane gives the orders now.
    @ivar given_up: this side has given the connection up, and not the other one.
    @param beat_s: how often it shows that it works.
    @param patience_s: how long any answer may take, if the order itself allows less.
    """

    def __init__(
        self, clock: IReactorTime, on_lost: Callable[[Link], None], beat_s: float = BEAT_S, patience_s: float = 0.0
    ) -> None:
        super().__init__(clock, on_lost)
        self._patience_s = patience_s
        self.version = 0
        self.cut_off = False
        self.given_up = False
        self._beat_s = beat_s
        self._numbers = count(1)
        self._waiting: dict[int, Deferred[Any]] = {}
        self._ended: set[int] = set()
        self._hears: dict[bytes, tuple[type[amp.Command], Callable[..., Deferred[Any]]]] = {}
        self._beat = LoopingCall(self._show_life)
        self._beat.clock = clock

    def responder(self, name: bytes) -> Callable[[amp.AmpBox], Any] | None:
        """Part of L{Link}: all that the other side may say by itself."""
        if name == CutOff.commandName:
            return self._cut_off
        if name not in self._hears:
            return None
        what, handler = self._hears[name]
        return lambda box: self._heard(what, handler, box)

    def hear(self, what: type[amp.Command], handler: Callable[..., Deferred[Any]]) -> None:
        """Have `handler` called with the arguments when the other side tells this.

        @param handler: fires when the other side may tell more; raises C{ValueError} when what it is told is no such
            thing.
        """
        self._hears[what.commandName] = what, handler

    def _heard(
        self, what: type[amp.Command], handler: Callable[..., Deferred[Any]], box: amp.AmpBox
    ) -> Deferred[amp.AmpBox]:
        try:
            heard = handler(**what.parseArguments(box, self))
        except (ValueError, KeyError):
            self.broken(f"{what.__name__} with nonsense")
            return Deferred()
        return heard.addCallback(lambda _: what.makeResponse({}, self))

    def _cut_off(self, box: amp.AmpBox) -> amp.AmpBox:
        self.cut_off = True
        return amp.AmpBox()

    def abort(self) -> None:
        """Part of L{Link}."""
        self.given_up = self.given_up or not self.lost
        super().abort()

    async def greet(self) -> None:
        """Agree on a version, before any other order.

        @raise VersionRefused: there is none that both speak.
        @raise DataPlaneLost: the connection was lost.
        """
        self.version = await self.give(Greet, oldest=OLDEST, newest=VERSION)
        self._beat.start(self._beat_s, now=False)

    def _show_life(self) -> None:
        self.give(StillThere).addErrback(lambda _: None)

    def give(self, order: type[Order], **arguments: Any) -> Deferred[Any]:
        """Give an order; fires with its answer. Cancelling it cancels it at the data plane, if it can be.

        @raise DataPlaneLost: there is no connection, or it was lost before the answer, or that took too long.
        @raise NotSent: it can't be sent, and nothing of it was.
        """
        number = next(self._numbers)
        if self.lost:
            return fail(DataPlaneLost("there is no connection to the data plane"))
        try:
            asked = self.callRemote(order, number=number, **arguments)
        except ValueError as error:
            return fail(NotSent(f"the order {order.__name__} can't be sent: {error}"))
        if order.ends_others:
            self._ended.update(self._waiting)
        return self._wait(order, number, asked)

    def _wait(self, order: type[Order], number: int, asked: Deferred[Any]) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred(lambda _: self._give_up(order, number, CancelledError()))
        self._waiting[number] = answer
        limit_s = None if order.limit_s is None else max(order.limit_s, self._patience_s)
        timer = None if limit_s is None else self.clock.callLater(limit_s, self._maybe_too_late, order, number, limit_s)

        def over(result: Any) -> Any:
            del self._waiting[number]
            self._ended.discard(number)
            if timer is not None and timer.active():
                timer.cancel()
            return result

        answer.addBoth(over)
        asked.addCallbacks(self._answered, self._failed, callbackArgs=(number,), errbackArgs=(number,))
        return answer

    def _answered(self, response: dict[str, Any], number: int) -> None:
        if number in self._waiting:
            self._waiting[number].callback(response.get("answer"))

    def _failed(self, failure: Failure, number: int) -> None:
        error = self._error_of(failure)
        if isinstance(error, CancelledError) and number not in self._ended:
            error = DataPlaneLost("the data plane has given the order up by itself")
        if number in self._waiting:
            self._waiting[number].errback(Failure(error))

    def _error_of(self, failure: Failure) -> Exception:
        if failure.check(OrderFailed):
            return decoded(str(failure.value))
        if failure.check(amp.AmpError):
            return unknown_order()
        if not self.lost and failure.check(ValueError, KeyError):
            self.broken("an answer that makes no sense")
        return DataPlaneLost("the connection to the data plane was lost")

    def _give_up(self, order: type[Order], number: int, error: Exception) -> None:
        if order.can_be_cancelled:
            self.callRemote(Cancel, number=number)
        self._waiting[number].errback(Failure(error))

    def _maybe_too_late(self, order: type[Order], number: int, limit_s: float) -> None:
        # If it was this process that stood still, what has come meanwhile is read only after its timers.
        self.clock.callLater(0, self._too_late, order, number, limit_s)

    def _too_late(self, order: type[Order], number: int, limit_s: float) -> None:
        if number not in self._waiting:
            return
        text = f"the data plane has not answered the order {order.__name__} within {limit_s:g} s"
        self._give_up(order, number, DataPlaneLost(text))
        if order.decides and not self.lost:
            self.log.error("{text}: the connection is closed", text=text)
            self.abort()

    def end_work(self) -> None:
        """Part of L{Link}: nobody answers any more."""
        if self._beat.running:
            self._beat.stop()
        for number in list(self._waiting):
            if number in self._waiting:  # who hears of one may give up another
                self._waiting[number].errback(Failure(DataPlaneLost("the connection to the data plane was lost")))
