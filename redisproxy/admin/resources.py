"""The twisted.web resources: pages, and the command endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from redisproxy.admin.guard import Guard
from redisproxy.control.errors import BadRequest, OperationError
from redisproxy.dataplane.interface import ClientQuery

MAX_TIMEOUT_MS = 3_600_000
MAX_IDS = 1000
MAX_LOGGED = 200
"""Characters of the arguments of an order in the log."""
JSON = "application/json; charset=utf-8"
_log = Logger(namespace="redisproxy.admin")

Answer = dict[str, Any]


class Operations(Protocol):
    """What the pages call."""

    def pause(self) -> Deferred[Answer]: ...

    def pause_and_wait(self, timeout_ms: int | None) -> Deferred[Answer]: ...

    def unpause(self) -> Deferred[Answer]: ...

    def reload(self) -> Deferred[Answer]: ...

    def switchover(self, dry_run: bool, back: bool) -> Deferred[Answer]: ...

    def forget_way_back(self) -> Deferred[Answer]: ...

    def switchover_go_on(self) -> Answer | Deferred[Answer]: ...

    def failover(self, dry_run: bool) -> Deferred[Answer]: ...

    def switchover_abort(self) -> Deferred[Answer]: ...

    def upgrade(self) -> Deferred[Answer]: ...

    def terminate_raw_connections(self) -> Deferred[Answer]: ...

    def clients(self, which: ClientQuery) -> Deferred[Answer]: ...

    def kill_clients(self, ids: frozenset[int]) -> Deferred[Answer]: ...

    def info(self) -> Deferred[Answer]: ...

    def metrics(self) -> Deferred[bytes]: ...

    def figures(self, after: int = 0) -> Deferred[Answer]: ...

    def slow_commands(self) -> Deferred[Answer]: ...

    def hot_keys(self) -> Deferred[Answer]: ...

    def ready(self) -> Deferred[tuple[bool, str]]: ...


class FleetOperations(Operations, Protocol):
    """Those of all proxies that are operated as one."""

    def fleet(self) -> Deferred[Answer]: ...

    @property
    def alone(self) -> Operations:
        """The same for this proxy alone."""


class Rendered(NamedTuple):
    """A page: its content, and the status with which it is sent."""

    content: bytes
    status: int = 200


def deliver(request: Request, rendering: Deferred[Rendered], content_type: str, name: str) -> int:
    """Answer with what `rendering` fires with, now or later; a caller that leaves cancels it.

    @param name: how the log calls it when it fails.
    """
    gone: list[object] = []

    def disconnected(why: object) -> None:
        gone.append(why)
        rendering.cancel()

    def finish(page: Rendered, content_type: str = content_type) -> None:
        if not gone:
            request.setResponseCode(page.status)
            request.setHeader("content-type", content_type)
            request.setHeader("content-length", str(len(page.content)))
            request.write(page.content)
            request.finish()

    def failed(failure: Failure) -> None:
        if failure.check(OperationError):
            finish(_refused(failure), JSON)
        elif not failure.check(CancelledError):
            _log.failure("{name} failed", failure=failure, name=name)
            finish(_as_answer(500, {"ok": False, "error": "internal error, see the log"}), JSON)

    request.notifyFinish().addErrback(disconnected)
    rendering.addCallback(finish).addErrback(failed)
    return NOT_DONE_YET


class Page(Resource):
    """A page that is rendered from what an operation tells; HEAD works as GET does."""

    isLeaf = True

    def __init__(self, content_type: str, render: Callable[[], Deferred[Rendered]]) -> None:
        super().__init__()
        self._content_type = content_type
        self._render = render

    def render_GET(self, request: Request) -> int:
        return deliver(request, maybeDeferred(self._render), self._content_type, request.path.decode("latin-1"))


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
    request.setHeader("content-type", JSON)
    return _as_answer(status, value).content


def _as_answer(status: int, value: Answer) -> Rendered:
    return Rendered(json.dumps(value, default=str).encode() + b"\n", status)


class Command(Resource):
    """C{POST /cmd/} with C{cmd=}: one operation, one answer."""

    isLeaf = True

    def __init__(self, operations: FleetOperations, guard: Guard) -> None:
        super().__init__()
        self._guard = guard
        self._commands = _commands(operations)
        self._of_this_proxy = _commands(operations.alone)

    def render_GET(self, request: Request) -> bytes:
        request.setHeader("allow", "POST")
        return answer(request, 405, {"ok": False, "error": "use POST with cmd=..., for example curl -d cmd=pause"})

    render_PUT = render_DELETE = render_PATCH = render_OPTIONS = render_GET

    def render_POST(self, request: Request) -> bytes | int:
        refused = self._guard.cross_site(request)
        if refused:
            return answer(request, 403, {"ok": False, "error": refused})
        try:
            fields = fields_of(request)
            call = self._command(fields)
        except OperationError as error:
            return answer(request, error.status, {"ok": False, "error": str(error)})
        rest = ", ".join(f"{name}={value}" for name, value in fields.items() if name != "cmd")[:MAX_LOGGED]
        _log.info("{who} orders {cmd} {rest}", who=self._guard.who(request), cmd=fields["cmd"], rest=rest)
        answering = maybeDeferred(call, fields)
        answering.addErrback(_log_refusal, fields["cmd"])
        return deliver(request, answering.addCallbacks(_done, _refused), JSON, fields["cmd"])

    def _command(self, fields: dict[str, str]) -> Callable[[dict[str, str]], Any]:
        name = fields.get("cmd")
        known = ", ".join(self._commands)
        if not name:
            raise BadRequest(f"cmd is missing; it is one of {known}")
        if name not in self._commands:
            raise BadRequest(f"unknown command {name[:64]!r}; it is one of {known}")
        return (self._commands if _flag(fields, "fleet", "1") else self._of_this_proxy)[name]


def _commands(operations: Operations) -> dict[str, Callable[[dict[str, str]], Any]]:
    """Every command by its name."""
    return {
        "pause": lambda _: operations.pause(),
        "pause-and-wait": lambda fields: operations.pause_and_wait(_timeout_ms(fields)),
        "unpause": lambda _: operations.unpause(),
        "reload": lambda _: operations.reload(),
        "switchover": lambda fields: operations.switchover(_flag(fields, "dry_run"), _flag(fields, "back")),
        "failover": lambda fields: operations.failover(_flag(fields, "dry_run")),
        "forget-way-back": lambda _: operations.forget_way_back(),
        "switchover-go-on": lambda _: operations.switchover_go_on(),
        "switchover-abort": lambda _: operations.switchover_abort(),
        "upgrade": lambda _: operations.upgrade(),
        "kill": lambda fields: operations.kill_clients(ids_of(fields.get("id", ""))),
        "terminate-raw-connections": lambda _: operations.terminate_raw_connections(),
    }


def _done(value: Answer) -> Rendered:
    return _as_answer(200, {"ok": True, **value})


def _log_refusal(failure: Failure, name: str) -> Failure:
    """What came of a move that had begun is logged by whoever carried it out."""
    if isinstance(failure.value, OperationError) and "report" not in failure.value.details:
        _log.warn("{cmd} is refused: {error}", cmd=name, error=failure.getErrorMessage())
    return failure


def _refused(failure: Failure) -> Rendered:
    failure.trap(OperationError)
    error = failure.value
    assert isinstance(error, OperationError)
    return _as_answer(error.status, {"ok": False, "error": str(error), **error.details})


def fields_of(request: Request) -> dict[str, str]:
    """The arguments of a request, each once.

    @raise BadRequest: one is given more than once.
    """
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


def _flag(fields: dict[str, str], name: str, default: str = "0") -> bool:
    text = fields.get(name, default)
    if text not in ("0", "1"):
        raise BadRequest(f"{name} has to be 0 or 1")
    return text == "1"


def ids_of(text: str) -> frozenset[int]:
    """Ids of clients, with commas between them.

    @raise BadRequest: they are none.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > MAX_IDS or not all(part.isascii() and part.isdigit() and len(part) <= 18 for part in parts):
        raise BadRequest(f"id has to be the ids of clients, with commas between them, {MAX_IDS} at the most")
    return frozenset(map(int, parts))
