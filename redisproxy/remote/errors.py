"""Failures of orders on the wire: each error of the interface by its class and its text, and one for all others."""

from __future__ import annotations

import json

from twisted.internet.defer import CancelledError

from redisproxy.dataplane.interface import ERRORS, NotSupported

MAX_TEXT = 5_000
"""Of an error's text, in characters. Each becomes twelve bytes at most when it is escaped, and a box holds 65,535."""


class DataPlaneFailed(Exception):
    """Something in the data plane has failed that should not; its log says what. No text of it is told."""


class NotSent(DataPlaneFailed):
    """An order holds what can't be sent, such as a value that is too large. The other side knows nothing of it."""


class VersionRefused(Exception):
    """The two sides have no version of the orders in common."""


_BY_NAME: dict[str, type[Exception]] = {
    error.__name__: error for error in (*ERRORS, CancelledError, DataPlaneFailed, VersionRefused)
}


def encoded(error: BaseException | None) -> str | None:
    """An error as the text that crosses the link; None for one that the interface does not know."""
    for kind in _BY_NAME.values():
        if isinstance(error, kind):
            return json.dumps({"error": kind.__name__, "text": str(error)[:MAX_TEXT]})
    return None


def decoded(text: str) -> Exception:
    """The error that crossed the link as `text`; what this side does not know is C{DataPlaneFailed}."""
    try:
        told = json.loads(text)
        return _BY_NAME[told["error"]](str(told["text"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return DataPlaneFailed("the data plane has failed in a way that this control plane does not know")


def unknown_order() -> Exception:
    """The other side is of an older version."""
    return NotSupported("the data plane is older and does not know this order")
