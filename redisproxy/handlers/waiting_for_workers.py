"""A client waits for what other workers answer; nobody else does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from twisted.python.failure import Failure

from redisproxy import resp
from redisproxy.client.waiting import Reason
from redisproxy.handlers.client_filters import Problem
from redisproxy.shared.every_worker import NotAnswered

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.client.client import Client

T = TypeVar("T")


def reply_later(client: Client, asking: Deferred[T], reply: Callable[[T], bytes]) -> bytes:
    """Have the client wait, and answer it then with what `reply` makes of the answer; no reply now.

    @param reply: may raise L{Problem}; with an empty result it has answered the client itself.
    """
    client.waiting.block(Reason.WORKERS)

    def answered(value: T) -> None:
        if client.closed:
            return
        try:
            send(reply(value))
        except Problem as problem:
            send(resp.error(str(problem)))

    def failed(failure: Failure) -> None:
        failure.trap(NotAnswered)
        send(resp.error(f"ERR redisproxy: {failure.getErrorMessage()}"))

    def send(data: bytes) -> None:
        if data and not client.closed and not client.session.reply_mode.muted:
            client.pushes.send(data)  # messages may come meanwhile
        client.waiting.unblock(Reason.WORKERS)

    asking.addCallbacks(answered, failed).addErrback(client.closing.crashed)
    return b""
