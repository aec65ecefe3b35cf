"""C{/clients.json}: the table of clients. What is asked for is in the URL, and is checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.web.resource import Resource
from twisted.web.server import Request

from redisproxy.admin.resources import JSON, Answer, Operations, Rendered, answer, deliver, fields_of, ids_of
from redisproxy.control.errors import BadRequest, OperationError
from redisproxy.dataplane.interface import COLUMNS, MAX_ROWS, STATES, ClientQuery

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TEXT = 200
MAX_SECONDS = 10**9


class ClientsPage(Resource):
    """C{GET /clients.json}, with what of the clients is wanted as arguments; see L{query_of}."""

    isLeaf = True

    def __init__(self, operations: Operations) -> None:
        super().__init__()
        self._operations = operations

    def render_GET(self, request: Request) -> bytes | int:
        try:
            query = query_of(fields_of(request))
        except OperationError as error:
            return answer(request, error.status, {"ok": False, "error": str(error)})
        return deliver(request, self._operations.clients(query).addCallback(_as_json), JSON, "clients.json")


def _as_json(table: Answer) -> Rendered:
    return Rendered(json.dumps(table).encode() + b"\n")


def query_of(fields: Mapping[str, str]) -> ClientQuery:
    """What the arguments of a URL ask for.

    @raise BadRequest: they can't be understood; C{str()} names the argument.
    """
    values: dict[str, Any] = {}
    for name, text in fields.items():
        if name not in _ARGUMENTS:
            raise BadRequest(f"unknown argument {name[:64]!r}; it is one of {', '.join(_ARGUMENTS)}")
        values |= _ARGUMENTS[name](name, text)
    return ClientQuery(**values)


def _text(name: str, text: str) -> dict[str, Any]:
    if len(text) > MAX_TEXT:
        raise BadRequest(f"{name} has to have no more than {MAX_TEXT} characters")
    return {name: text}


def _number(name: str, text: str, low: int, high: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 12 or not low <= int(text) <= high:
        raise BadRequest(f"{name} has to be a number from {low} to {high}")
    return int(text)


def _in(low: int, high: int) -> Callable[[str, str], dict[str, Any]]:
    return lambda name, text: {name: _number(name, text, low, high)}


def _seconds(name: str, text: str) -> dict[str, Any]:
    return {name: float(_number(name, text, 0, MAX_SECONDS))}


def _state(name: str, text: str) -> dict[str, Any]:
    if text not in STATES:
        raise BadRequest(f"{name} has to be one of {', '.join(STATES)}")
    return {name: text}


def _sort(name: str, text: str) -> dict[str, Any]:
    column = text.removeprefix("-")
    if column not in COLUMNS:
        raise BadRequest(f"{name} has to be one of {', '.join(COLUMNS)}; with - before it, the highest come first")
    return {"sort": column, "descending": text != column}


_ARGUMENTS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    **dict.fromkeys(("addr", "user", "name", "lib", "cmd", "text"), _text),
    "id": lambda name, text: {"ids": ids_of(text)},
    "db": _in(0, 10**9),
    "state": _state,
    "min_age_s": _seconds,
    "min_idle_s": _seconds,
    "min_pending": _in(0, 10**9),
    "sort": _sort,
    "limit": _in(1, MAX_ROWS),
}
