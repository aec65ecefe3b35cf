"""The twisted.web resources."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from redisproxy.admin.guard import Guard, Users
from redisproxy.admin.page import render_page
from redisproxy.control.operations import BadRequest, OperationError
from redisproxy.figures import prometheus

if TYPE_CHECKING:
    from redisproxy.figures.metrics import Metrics

MAX_BODY_BYTES = 16384
MAX_CONNECTIONS = 100
IDLE_S = 60
MAX_TIMEOUT_MS = 3_600_000
_HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline';"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
}

Answer = dict[str, Any]


class Operations(Protocol):
    """What the pages call."""

    def pause(self) -> Answer: ...

    def pause_and_wait(self, timeout_ms: int | None) -> Deferred[Answer]: ...

    def unpause(self) -> Answer: ...

    def reload(self) -> Deferred[Answer]: ...

    def switchover(self, dry_run: bool) -> Deferred[Answer]: ...

    def switchover_go_on(self) -> Answer: ...

    def terminate_raw_connections(self) -> Answer: ...

    def info(self) -> Answer: ...

    def gauges(self) -> Mapping[str, float]: ...

    def ready(self) -> tuple[bool, str]: ...


class Page(Resource):
    """A page that is rendered from what an operation tells; HEAD works as GET does."""

    isLeaf = True

    def __init__(self, content_type: str, render: Callable[[Request], bytes]) -> None:
        super().__init__()
        self._content_type = content_type
        self._render = render

    def render_GET(self, request: Request) -> bytes:
        request.setHeader("content-type", self._content_type)
        return self._render(request)


class NotFound(Resource):
    """Everything that is not there."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        return answer(request, 404, {"ok": False, "error": "there is no such page"})


class Unauthorized(Resource):
    """Asks for name and password."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        request.setHeader("www-authenticate", 'Basic realm="redisproxy", charset="UTF-8"')
        return answer(request, 401, {"ok": False, "error": "name and password required"})


def answer(request: Request, status: int, value: Answer) -> bytes:
    """A JSON answer with its status."""
    request.setResponseCode(status)
    request.setHeader("content-type", "application/json; charset=utf-8")
    return json.dumps(value, default=str).encode() + b"\n"


class Command(Resource):
    """C{POST /cmd/} with C{cmd=}: one operation, one answer."""

    isLeaf = True
    log = Logger(namespace="redisproxy.admin")

    def __init__(self, operations: Operations, guard: Guard) -> None:
        super().__init__()
        self._guard = guard
        self._commands: dict[str, Callable[[dict[str, str]], Any]] = {
            "pause": lambda _: operations.pause(),
            "pause-and-wait": lambda fields: operations.pause_and_wait(_timeout_ms(fields)),
            "unpause": lambda _: operations.unpause(),
            "reload": lambda _: operations.reload(),
            "switchover": lambda fields: operations.switchover(_flag(fields, "dry_run")),
            "switchover-go-on": lambda _: operations.switchover_go_on(),
            "terminate-raw-connections": lambda _: operations.terminate_raw_connections(),
        }

    def render_GET(self, request: Request) -> bytes:
        request.setHeader("allow", "POST")
        return answer(request, 405, {"ok": False, "error": "use POST with cmd=..., for example curl -d cmd=pause"})

    render_PUT = render_DELETE = render_PATCH = render_OPTIONS = render_GET

    def render_POST(self, request: Request) -> bytes | int:
        refused = self._guard.cross_site(request)
        if refused:
            return answer(request, 403, {"ok": False, "error": refused})
        try:
            fields = _fields(request)
            call = self._command(fields)
        except OperationError as error:
            return answer(request, error.status, {"ok": False, "error": str(error)})
        self._run(request, fields["cmd"], maybeDeferred(call, fields))
        return NOT_DONE_YET

    def _command(self, fields: dict[str, str]) -> Callable[[dict[str, str]], Any]:
        name = fields.get("cmd")
        known = ", ".join(self._commands)
        if not name:
            raise BadRequest(f"cmd is missing; it is one of {known}")
        if name not in self._commands:
            raise BadRequest(f"unknown command {name[:64]!r}; it is one of {known}")
        return self._commands[name]

    def _run(self, request: Request, name: str, running: Deferred[Any]) -> None:
        gone = False

        def disconnected(_: object) -> None:
            nonlocal gone
            gone = True
            running.cancel()

        def finish(status: int, value: Answer) -> None:
            if not gone:
                content = answer(request, status, value)
                request.setHeader("content-length", str(len(content)))
                request.write(content)
                request.finish()

        def failed(failure: Failure) -> None:
            error = failure.value
            if isinstance(error, OperationError):
                finish(error.status, {"ok": False, "error": str(error), **error.details})
            elif not failure.check(CancelledError):
                self.log.failure("{name} failed", failure=failure, name=name)
                finish(500, {"ok": False, "error": "internal error, see the log"})

        request.notifyFinish().addErrback(disconnected)
        running.addCallback(lambda value: finish(200, {"ok": True, **value}))
        running.addErrback(failed)


def _fields(request: Request) -> dict[str, str]:
    fields = {}
    for name, values in (request.args or {}).items():
        if len(values) != 1:
            raise BadRequest(f"{name.decode('ascii', 'replace')[:64]} is given more than once")
        fields[name.decode("ascii", "replace")] = values[0].decode("utf-8", "replace")
    return fields


def _timeout_ms(fields: dict[str, str]) -> int | None:
    text = fields.get("timeout_ms")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 12 or not 1 <= int(text) <= MAX_TIMEOUT_MS:
        raise BadRequest(f"timeout_ms has to be a number from 1 to {MAX_TIMEOUT_MS}")
    return int(text)


def _flag(fields: dict[str, str], name: str) -> bool:
    text = fields.get(name, "0")
    if text not in ("0", "1"):
        raise BadRequest(f"{name} has to be 0 or 1")
    return text == "1"


class Root(Resource):
    """Every path of the site, behind its guard."""

    def __init__(self, operations: Operations, guard: Guard, metrics: Metrics) -> None:
        super().__init__()
        self._guard = guard

        def ready(request: Request) -> bytes:
            good, reason = operations.ready()
            request.setResponseCode(200 if good else 503)
            return reason.encode() + b"\n"

        def as_json(request: Request) -> bytes:
            return json.dumps(operations.info(), indent=2, default=str).encode() + b"\n"

        text, html = "text/plain; charset=utf-8", "text/html; charset=utf-8"
        exposition = "text/plain; version=0.0.4; charset=utf-8"
        self._healthz = Page(text, lambda _: b"ok\n")
        self._pages: dict[bytes, Resource] = {
            b"": Page(html, lambda _: render_page(operations.info())),
            b"cmd": Command(operations, guard),
            b"info.json": Page("application/json; charset=utf-8", as_json),
            b"metrics": Page(exposition, lambda _: prometheus.render(metrics, operations.gauges())),
            b"readyz": Page(text, ready),
        }

    def getChild(self, path: bytes, request: Request) -> Resource:
        for name, value in _HEADERS.items():
            request.setHeader(name, value)
        if path == b"healthz":
            return self._healthz
        if not self._guard.authenticated(request):
            return Unauthorized()
        if any(request.postpath or ()):
            return NotFound()
        return self._pages.get(path) or NotFound()


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


class BoundedSite(Site):
    """A site with a bound on its connections, and no log line for each request."""

    noisy = False
    displayTracebacks = False

    def __init__(self, root: Resource) -> None:
        super().__init__(root, requestFactory=BoundedRequest, timeout=IDLE_S)
        self._open = 0

    def log(self, request: Any) -> None:
        """Requests are not logged: what they change is."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        if self._open >= MAX_CONNECTIONS:
            return None
        channel = super().buildProtocol(addr)
        lost = channel.connectionLost
        self._open += 1

        def connectionLost(reason: Failure) -> None:
            self._open -= 1
            lost(reason)

        channel.connectionLost = connectionLost
        return channel


def make_site(operations: Operations, users: Callable[[], Users | None], metrics: Metrics) -> Site:
    """The whole admin site.

    @param users: who may use it at the moment of a request; None means anybody.
    """

    def failed() -> None:
        metrics.clients.auth_failures_total += 1

    return BoundedSite(Root(operations, Guard(users, failed), metrics))
