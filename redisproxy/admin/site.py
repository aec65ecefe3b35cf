"""The whole admin site: every path behind its guard, with bounds on connections and bodies."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import succeed
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from redisproxy.admin.clients import ClientsPage
from redisproxy.admin.events import Events
from redisproxy.admin.guard import Guard, Users
from redisproxy.admin.page import PAGE, read_assets
from redisproxy.admin.resources import JSON, Answer, Command, FleetOperations, NotFound, Page, Rendered, Unauthorized

if TYPE_CHECKING:
    from redisproxy.figures.metrics import OperationFigures

MAX_BODY_BYTES = 16384
MAX_CONNECTIONS = 100
IDLE_S = 60
_HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self';"
    " connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'",
}


class Root(Resource):
    """Every path of the site, behind its guard.

    @ivar events: whose listeners are to go to another process when this one is no longer in charge.
    """

    def __init__(self, operations: FleetOperations, guard: Guard, clock: Any) -> None:
        super().__init__()
        self._guard = guard
        self._assets = assets = read_assets()
        self.events = Events(operations, guard.authenticated, clock)
        text = "text/plain; charset=utf-8"
        exposition = "text/plain; version=0.0.4; charset=utf-8"
        self._healthz = Page(text, lambda: succeed(Rendered(b"ok\n")))
        self._pages: dict[bytes, Resource] = {
            b"": assets[PAGE.encode()],
            b"clients.json": ClientsPage(operations),
            b"cmd": Command(operations, guard),
            b"events": self.events,
            b"info.json": Page(JSON, lambda: operations.info().addCallback(_as_json)),
            b"figures.json": Page(JSON, lambda: operations.figures().addCallback(_as_compact_json)),
            b"slowlog.json": Page(JSON, lambda: operations.slow_commands().addCallback(_as_compact_json)),
            b"hot_keys.json": Page(JSON, lambda: operations.hot_keys().addCallback(_as_compact_json)),
            b"fleet.json": Page(JSON, lambda: operations.fleet().addCallback(_as_json)),
            b"metrics": Page(exposition, lambda: operations.metrics().addCallback(Rendered)),
            b"readyz": Page(text, lambda: operations.ready().addCallback(_as_readiness)),
        }

    def getChild(self, path: bytes, request: Request) -> Resource:
        for name, value in _HEADERS.items():
            request.setHeader(name, value)
        if path == b"healthz":
            return self._healthz
        if not self._guard.authenticated(request):
            return Unauthorized()
        rest = b"/".join(request.postpath or ()).rstrip(b"/")
        if path == b"assets":
            return self._assets.get(rest) or NotFound()
        return NotFound() if rest else self._pages.get(path) or NotFound()


def _as_json(info: Answer) -> Rendered:
    return Rendered(json.dumps(info, indent=2, default=str).encode() + b"\n")


def _as_compact_json(answer: Answer) -> Rendered:
    return Rendered(json.dumps(answer, separators=(",", ":")).encode() + b"\n")


def _as_readiness(ready: tuple[bool, str]) -> Rendered:
    good, reason = ready
    return Rendered(reason.encode() + b"\n", 200 if good else 503)


class BoundedRequest(Request):
    """A request whose body is bounded before it is read."""

    def gotLength(self, length: int | None) -> None:
        if length is not None and length > MAX_BODY_BYTES:
            self._too_large()
            return
        super().gotLength(length)

    def handleContentChunk(self, data: bytes) -> None:
        content: Any = self.content
        if content.tell() + len(data) > MAX_BODY_BYTES:
            self._too_large()
            return
        super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        # What is no plain text here makes the parser of bodies raise.
        types = self.requestHeaders.getRawHeaders(b"content-type") or ()
        if all(32 <= byte < 127 for each in types for byte in each):
            channel: Any = self.channel
            channel.answering = True
            super().requestReceived(command, path, version)
        else:
            self._refuse(b"400 Bad Request")

    def _too_large(self) -> None:
        super().gotLength(0) if self.content is None else None
        self._refuse(b"413 Content Too Large")

    def _refuse(self, status: bytes) -> None:
        channel: Any = self.channel
        channel.transport.write(b"HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % status)
        channel.loseConnection()


class Channel(HTTPChannel):
    """One connection, which takes no more requests once another process is in charge.

    @ivar answering: a whole request has come, and is not answered yet.
    """

    site: BoundedSite
    answering = False

    def requestDone(self, request: Request) -> None:
        self.answering = False
        super().requestDone(request)

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        if self.site.left:
            request.responseHeaders.setRawHeaders(b"connection", [b"close"])
            return False
        return bool(super().checkPersistence(request, version))

    def leave(self) -> None:
        """Close, now or when what was asked is answered."""
        self.persistent = False
        if not self.requests:
            self.loseConnection()


class BoundedSite(Site):
    """A site with a bound on its connections, and no log line for each request.

    A new connection takes the place of the oldest one that has asked nothing: whoever opens many shuts nobody out.

    @ivar left: another process answers from now on.
    """

    noisy = False
    displayTracebacks = False
    protocol: Any = Channel

    def __init__(self, root: Root) -> None:
        super().__init__(root, requestFactory=BoundedRequest, timeout=IDLE_S)
        self._events = root.events
        self._channels: dict[Channel, None] = {}
        self.left = False

    def leave(self) -> None:
        """Answer what was asked, and close the connections: what comes next is for the process in charge."""
        self.left = True
        for each in list(self._channels):
            each.leave()
        self._events.end()

    def log(self, request: Any) -> None:
        """Requests are not logged: what they change is."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        if len(self._channels) >= MAX_CONNECTIONS and not self._make_room():
            return None
        channel = super().buildProtocol(addr)
        lost = channel.connectionLost
        self._channels[channel] = None

        def connectionLost(reason: Failure) -> None:
            self._channels.pop(channel, None)
            lost(reason)

        channel.connectionLost = connectionLost
        return channel

    def _make_room(self) -> bool:
        for each in self._channels:
            transport: Any = each.transport
            if transport is not None and not each.answering:
                del self._channels[each]
                transport.abortConnection()
                return True
        return False


def make_site(
    operations: FleetOperations, users: Callable[[], Users | None], metrics: OperationFigures, clock: Any
) -> BoundedSite:
    """The whole admin site.

    @param users: who may use it at the moment of a request; None means anybody.
    """

    def failed() -> None:
        metrics.auth_failures_total += 1

    return BoundedSite(Root(operations, Guard(users, failed), clock))
