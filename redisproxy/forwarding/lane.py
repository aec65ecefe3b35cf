"""The straight way of a plain command, in pure Python: client bytes in, uplink queue, reply bytes out.

A L{Lane} is the part of a client that every command and every reply passes. While nothing is special about the client
(no transaction, no reason to wait, a shared connection at hand) its commands go to the connection's L{Queue} and the
replies to its transport without touching anything else. C{_native.core} holds the compiled twin.
"""

from __future__ import annotations

from typing import Any

from redisproxy.forwarding.queue import Flow, Queue
from redisproxy.resp import RUN, ProtocolError


class Lane:
    """The straight way of one client.

    @ivar queue: where its commands go straight; None while something about the client is special.
    @ivar straight_out: replies go straight to the transport.
    @ivar pending: replies that the client still waits for. @ivar limit: how many it may wait for.
    @ivar replies, reply_bytes: what has been answered to plain commands since these were last set to 0.
    @ivar active: something has arrived since this was set to False.
    @ivar left_over: a unit that the lane took from the framer and that is not for it.
    @ivar arrived_ns: when something arrived last, on C{Flow.clock}.
    """

    __slots__ = (
        "_flow", "_framer", "active", "arrived_ns", "client", "left_over", "limit", "pending", "queue", "replies",
        "reply_bytes", "straight_out", "transport"
    )  # fmt: skip

    def __init__(self, client: Any, framer: Any, flow: Flow) -> None:
        self.client = client
        self.transport: Any = None
        self.queue: Queue | None = None
        self.straight_out = False
        self.pending = 0
        self.limit = 0
        self.replies = 0
        self.reply_bytes = 0
        self.active = True
        self.arrived_ns = 0
        self.left_over: Any = None
        self._framer = framer
        self._flow = flow

    def take(self, data: bytes) -> bool:
        """Take what has arrived. True when all of it has gone its way; else the client has to look."""
        flow, framer, queue = self._flow, self._framer, self.queue
        self.active = True
        self.arrived_ns = flow.clock()
        flow.bytes_from_clients += len(data)
        framer.feed(data)
        if queue is None or not queue.ready or not flow.open:
            return False
        try:
            unit = framer.next()
        except ProtocolError:
            return False  # the framer raises it again when the client looks
        if unit is None:
            return True
        if unit[0] != RUN:
            self.left_over = unit
            return False
        count = unit[2]
        flow.in_flight += count
        self.pending += count
        flow.begun(queue.submit(self, unit[1], count), unit[1], count, self.arrived_ns)
        return not framer.buffered and self.pending <= self.limit

    def reply(self, data: bytes, done: int) -> None:
        """Part of C{ReplySink}."""
        self.pending -= done
        self.replies += done
        self.reply_bytes += len(data)
        if self.straight_out:
            self._flow.bytes_to_clients += len(data)
            self.transport.write(data)
        else:
            self.client.deliver(data, done)

    def lost(self) -> None:
        """Part of C{ReplySink}."""
        self.client.lost()
