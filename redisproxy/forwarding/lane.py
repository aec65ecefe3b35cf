"""The straight way of a plain command, in pure Python: client bytes in, uplink queue, reply bytes out.

A L{Lane} is the part of a client that every command and every reply passes. While nothing is special about the client
(no transaction, no reason to wait, a shared connection at hand) its commands go to the connection's L{Queue} and the
replies to its transport without touching anything else. C{_native.core} holds the compiled twin.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from redisproxy.resp import RUN, ProtocolError, ReplyScanner


class Flow:
    """The counts that every command changes, in one place for the gate and the metrics.

    @ivar open: the gate is open. @ivar in_flight: commands that were admitted and not released.
    @ivar unsent: the queues with something to send at the end of this turn, in the order in which they got it.
    @ivar on_read_only: called before a reply is passed on with which a server refuses a write because it is a replica.
    """

    __slots__ = ("bytes_from_clients", "bytes_to_clients", "commands", "in_flight", "on_read_only", "open", "unsent")

    def __init__(self) -> None:
        self.open = True
        self.in_flight = 0
        self.commands = 0
        self.bytes_from_clients = 0
        self.bytes_to_clients = 0
        self.unsent: dict[Queue, None] = {}
        self.on_read_only: Callable[[], None] | None = None

    def flush(self) -> None:
        """Send everything that is unsent, in order."""
        for queue in list(self.unsent):
            queue.flush()


class Entry:
    """Replies that somebody waits for.

    @ivar want: how many are not complete yet.
    @ivar counted: whether they were admitted at the gate (the proxy's own commands are not).
    @ivar timed: whether C{read_time_limit_ms} applies.
    """

    __slots__ = ("counted", "sink", "timed", "want")

    def __init__(self, sink: Any, want: int, counted: bool, timed: bool) -> None:
        self.sink = sink
        self.want = want
        self.counted = counted
        self.timed = timed


class Queue:
    """What one uplink connection has to send, and who waits for its replies.

    @ivar ready: commands may be submitted. @ivar transport: where they go; None as long as there is none.
    @ivar straight: what arrives on the transport is nothing but replies, and may come here without asking its protocol.
    @ivar pinned: it belongs to one client at a time. What arrived before its commands leaves before them, and what
        arrived after them leaves after: a publisher must not overtake the subscriber whose command came first.
    @param end_of_turn: see C{net.Network}.
    @param flow: the counts of the gate at which commands were admitted.
    @param release: takes a number of commands out of flight when the gate is closed.
    """

    __slots__ = (
        "_end_of_turn", "_entries", "_flow", "_out", "_release", "_scanner", "pinned", "ready", "straight", "transport"
    )  # fmt: skip

    def __init__(
        self, end_of_turn: Callable[[Callable[[], None]], None], flow: Flow, release: Callable[[int], None]
    ) -> None:
        self.ready = False
        self.straight = True
        self.pinned = False
        self.transport: Any = None
        self._end_of_turn = end_of_turn
        self._flow = flow
        self._release = release
        self._entries: deque[Entry] = deque()
        self._out: list[bytes] = []
        self._scanner = ReplyScanner()

    def __len__(self) -> int:
        return len(self._entries)

    def submit(self, sink: Any, data: bytes, count: int, counted: bool = True, timed: bool = True) -> Entry:
        """Send `data` at the end of this turn; its `count` replies are for `sink`."""
        entry = Entry(sink, count, counted, timed)
        self._entries.append(entry)
        self.send(data)
        return entry

    def send(self, data: bytes) -> None:
        """Send more of what was submitted."""
        if self.pinned:
            self._flush_before()
        if not self._out:
            self._flow.unsent[self] = None
            self._end_of_turn(self._flow.flush)
        self._out.append(data)

    def _flush_before(self) -> None:
        """Have everything leave that would otherwise leave in the wrong order."""
        unsent = self._flow.unsent
        if unsent and next(reversed(unsent)) is not self:
            self._flow.flush()

    def flush(self) -> None:
        """Write what was collected in this turn."""
        self._flow.unsent.pop(self, None)
        out, self._out = self._out, []
        if out and self.transport is not None:
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))

    def head(self) -> Entry | None:
        """Who waits longest."""
        return self._entries[0] if self._entries else None

    def tail(self) -> Entry | None:
        """Who came last."""
        return self._entries[-1] if self._entries else None

    def entries(self) -> list[Entry]:
        """Everybody who waits, in order."""
        return list(self._entries)

    def amid(self, client: object) -> bool:
        """Whether a reply to `client` has arrived in part; if so, its last piece comes without any of the next one."""
        if not self._scanner.mid or not self._entries:
            return False
        head = self._entries[0]
        if getattr(head.sink, "client", head.sink) is not client:
            return False
        if head.want > 1:
            self._entries.insert(1, Entry(head.sink, head.want - 1, head.counted, head.timed))
            head.want = 1
        return True

    def clear(self) -> list[Entry]:
        """Forget everything; who waited."""
        entries = list(self._entries)
        self._entries.clear()
        self._out.clear()
        self._flow.unsent.pop(self, None)
        return entries

    def confirm(self, data: bytes) -> None:
        """Pass `data` on as one whole reply, whatever type it has: a push that confirms a command is one.

        @raise ProtocolError: nobody waits for a reply.
        """
        if not self._entries:
            raise ProtocolError("bytes that belong to no request")
        entry = self._entries[0]
        entry.want -= 1
        if not entry.want:
            self._entries.popleft()
        try:
            entry.sink.reply(data, 1)
        finally:
            if entry.counted:
                self._release(1)

    def dispatch(self, data: bytes) -> None:
        """Pass replies on to who waits for them, and take those of the admitted ones that are complete out of flight.

        @raise ProtocolError: these are no replies, or more than were waited for.
        """
        released = position = 0
        size, entries = len(data), self._entries
        try:
            while position < size:
                if not entries:
                    raise ProtocolError("bytes that belong to no request")
                entry, start = entries[0], position
                position, done = self._scanner.scan(data, start, entry.want)
                if self._scanner.read_only:
                    self._read_only()
                if done:
                    released += done if entry.counted else 0
                    entry.want -= done
                    if not entry.want:
                        entries.popleft()
                entry.sink.reply(data if not start and position == size else data[start:position], done)
        finally:
            flow = self._flow
            if flow.open and flow.in_flight >= released:
                flow.in_flight -= released
            elif released:
                self._release(released)

    def _read_only(self) -> None:
        self._scanner.read_only = False
        if self._flow.on_read_only is not None:
            self._flow.on_read_only()


class Lane:
    """The straight way of one client.

    @ivar queue: where its commands go straight; None while something about the client is special.
    @ivar straight_out: replies go straight to the transport.
    @ivar pending: replies that the client still waits for. @ivar limit: how many it may wait for.
    @ivar replies, reply_bytes: what has been answered to plain commands since these were last set to 0.
    @ivar active: something has arrived since this was set to False.
    @ivar left_over: a unit that the lane took from the framer and that is not for it.
    """

    __slots__ = (
        "_flow", "_framer", "active", "client", "left_over", "limit", "pending", "queue", "replies", "reply_bytes",
        "straight_out", "transport"
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
        self.left_over: Any = None
        self._framer = framer
        self._flow = flow

    def take(self, data: bytes) -> bool:
        """Take what has arrived. True when all of it has gone its way; else the client has to look."""
        flow, framer, queue = self._flow, self._framer, self.queue
        self.active = True
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
        flow.commands += count
        self.pending += count
        queue.submit(self, unit[1], count)
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
