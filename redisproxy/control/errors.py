"""How an operation fails: each error knows the HTTP status that tells an operator what to do about it."""

from __future__ import annotations

from typing import Any


class OperationError(Exception):
    """An operation did not do what was asked. C{str()} is fit to be shown.

    @ivar status: the HTTP status.
    @ivar details: what else the answer holds.
    """

    status = 500

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


class BadRequest(OperationError):
    """What was asked for is wrong in itself: an unknown command, a configuration with faults."""

    status = 400


class WrongState(OperationError):
    """It can't be done in this state."""

    status = 409


class DeadlineExceeded(OperationError):
    """It took longer than it may."""

    status = 504


SHUTTING_DOWN = "the proxy is shutting down"
