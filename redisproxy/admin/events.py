"""The stream C{/events}: what the page shows, as server-sent events, to a bounded number of listeners.

Each event is a JSON object with the keys of C{/info.json} that have changed since the one before, and C{figures} of the
last second; the first one that a listener gets has all of them. See https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import TimeoutError, ensureDeferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from redisproxy.admin.resources import Answer, Operations, answer
from redisproxy.control.errors import OperationError

MAX_LISTENERS = 16
INTERVAL_S = 1.0
MOVING_INTERVAL_S = 0.25
"""While a switchover or an upgrade runs."""
FIGURES_OF_S = 3
"""The newest second is among these."""
ANSWER_S = 5.0
MAX_MISSED = 5
"""Events that a listener may be too slow for, one after the other."""
_FIRST = b"retry: 1000\n\n"


@implementer(IPushProducer)
class Listener:
    """One request that is answered for as long as the browser stays."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._paused = False
        self._missed = 0
        self._knows = False
        request.setHeader("content-type", "text/event-stream; charset=utf-8")
        request.setHeader("x-accel-buffering", "no")
        request.registerProducer(self, True)
        request.write(_FIRST)

    def pauseProducing(self) -> None:
        """Its transport holds as much as it takes."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Its transport takes more."""
        self._paused = False

    def stopProducing(self) -> None:
        """It is gone, which C{notifyFinish} tells, too."""
        self._paused = True

    @property
    def too_slow(self) -> bool:
        """Whether it has missed too many events in a row."""
        return self._missed > MAX_MISSED

    @property
    def request(self) -> Request:
        """What it has asked with."""
        return self._request

    def tell(self, whole: bytes, changed: bytes) -> None:
        """Send an event: what has changed, or everything to one that did not get the event before."""
        if self._paused:
            self._missed += 1
            self._knows = False
            return
        self._request.write(b"data: %b\n\n" % (changed if self._knows else whole))
        self._missed, self._knows = 0, True

    def end(self) -> None:
        """Send no more. The connection is closed: the browser is to come back on a new one."""
        channel: Any = self._request.channel
        channel.persistent = False
        self._request.unregisterProducer()
        self._request.finish()

    def drop(self) -> None:
        """Disconnect it at once."""
        channel: Any = self._request.channel
        channel.forceAbortClient()


class Events(Resource):
    """Asks for the state once for all listeners, and only while there are any.

    @param operations: tell what is told. @param admitted: whether a listener may listen still; a reload changes that.
    """

    isLeaf = True
    log = Logger(namespace="redisproxy.admin")

    def __init__(self, operations: Operations, admitted: Callable[[Request], bool], clock: Any) -> None:
        super().__init__()
        self._operations = operations
        self._admitted = admitted
        self._clock = clock
        self._listeners: dict[Listener, None] = {}
        self._told: dict[str, str] = {}
        self._next: IDelayedCall | None = None
        self._asking = False

    def render_HEAD(self, request: Request) -> bytes:
        request.setHeader("content-type", "text/event-stream; charset=utf-8")
        return b""

    def render_GET(self, request: Request) -> bytes | int:
        if len(self._listeners) >= MAX_LISTENERS:
            return answer(request, 503, {"ok": False, "error": f"{MAX_LISTENERS} pages listen already"})
        listener = Listener(request)
        self._listeners[listener] = None
        request.notifyFinish().addBoth(lambda _: self._listeners.pop(listener, None))
        self._ask_in(0)
        return NOT_DONE_YET

    def end(self) -> None:
        """Send nobody anything any more."""
        listeners, self._listeners = self._listeners, {}
        for each in listeners:
            each.end()

    def _ask_in(self, seconds: float) -> None:
        if self._asking:
            return
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._next = self._clock.callLater(seconds, self._ask)

    def _ask(self) -> None:
        if not self._listeners:
            self._told = {}
            return
        self._asking = True
        asking = ensureDeferred(self._state()).addTimeout(ANSWER_S, self._clock)
        asking.addErrback(self._failed).addCallback(self._tell)
        asking.addErrback(lambda failure: self.log.failure("an event failed", failure=failure))

    async def _state(self) -> Answer:
        info = await self._operations.info()
        figures = await self._operations.figures(int(self._clock.seconds()) - FIGURES_OF_S)
        return {**info, "figures": figures["now"], "error": ""}

    def _failed(self, failure: Failure) -> Answer:
        if failure.check(TimeoutError):
            return {"error": f"no answer within {ANSWER_S:.0f} s"}
        if not failure.check(OperationError):
            self.log.failure("/events failed", failure=failure)
            return {"error": "internal error, see the log"}
        return {"error": failure.getErrorMessage()}

    def _tell(self, state: Answer) -> None:
        self._asking = False
        self._ask_in(MOVING_INTERVAL_S if _moves(state) else INTERVAL_S)
        gone = {} if state["error"] else dict.fromkeys(self._told)
        texts = {key: json.dumps(value, default=str) for key, value in {**gone, **state}.items()}
        changed = {key: text for key, text in texts.items() if self._told.get(key) != text}
        self._told |= texts
        whole, news = _joined(self._told), _joined(changed)
        for each in list(self._listeners):
            self._tell_one(each, whole, news)

    def _tell_one(self, listener: Listener, whole: bytes, news: bytes) -> None:
        if not self._admitted(listener.request):
            del self._listeners[listener]
            listener.end()
            return
        listener.tell(whole, news)
        if listener.too_slow:
            listener.drop()


def _moves(state: Answer) -> bool:
    return bool(state.get("switchover", {}).get("current") or state.get("upgrade", {}).get("step"))


def _joined(texts: dict[str, str]) -> bytes:
    return ("{" + ", ".join(f"{json.dumps(key)}: {text}" for key, text in texts.items()) + "}").encode()
