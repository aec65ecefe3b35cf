"""What goes to one client: replies, messages and pushes, as they are written to its transport.

The replies to plain commands pass here only while something about the client is special; else they go from the lane
straight to the transport.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from redisproxy import resp

if TYPE_CHECKING:
    from redisproxy.client.session import ReplyMode
    from redisproxy.forwarding.twins import Flow, Lane

OK = b"+OK\r\n"


def _is_read(size: int) -> None:
    """Nothing is unread of a client that has always read."""


class Output:
    """The bytes to one client.

    @ivar mode: which replies the client wants.
    @ivar closed: nothing more is written, and nothing more taken.
    @ivar alert: somebody waits for replies to come, so that they are not to pass by.
    @ivar unread: bytes that were written although the client does not read; 0 while it reads.
    @ivar on_unread: called with the size of what was written while the client does not read.
    @ivar holding: a push message waits for the end of a reply.
    @ivar composing: a piece of a reply is being made and not written; what is pushed meanwhile comes after it.
    """

    __slots__ = (
        "_flow", "_lane", "alert", "closed", "composing", "holding", "mode", "on_unread", "transport", "unread"
    )  # fmt: skip

    def __init__(self, lane: Lane, mode: ReplyMode, flow: Flow) -> None:
        self._lane = lane
        self._flow = flow
        self.mode = mode
        self.transport: Any = None
        self.closed = self.alert = self.holding = self.composing = False
        self.unread = 0
        self.on_unread: Callable[[int], None] = _is_read

    def sync(self) -> None:
        """Let replies go straight to the transport, or past this."""
        special = self.closed or self.alert or self.holding or self.mode.muted or self.unread > 0
        self._lane.straight_out = not special

    def write(self, data: bytes) -> None:
        """Send bytes as they are, whatever the reply mode is: what is no reply, or a piece of one."""
        if self.closed:
            return
        self._flow.bytes_to_clients += len(data)
        self.transport.write(data)
        if self.unread:
            self.on_unread(len(data))

    def answer(self, data: bytes) -> None:
        """Send a reply of the proxy's own. Only when no other reply is outstanding."""
        if not self.mode.muted:
            self.write(data)

    def error(self, text: str) -> None:
        """Answer with an error; `text` is without the leading C{-}."""
        self.answer(resp.error(text))
