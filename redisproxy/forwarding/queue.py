"""The queue of an uplink connection, and the counts that every command changes; in pure Python.

What clients send in one turn of the reactor is put into a L{Queue} and leaves in one write. Replies are counted off as
they arrive, and measured. C{_native.core} holds the compiled twin.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from redisproxy.forwarding.command_figures import CommandFigures
from redisproxy.forwarding.entry import NOT_COUNTED, Entry
from redisproxy.resp import ProtocolError, ReplyScanner

KEPT_BYTES = 1024
"""Of each command under way, for the log of slow ones; of commands that are longer on average, this much of all."""
FEW = 16
"""After so many replies the clock is read again: writing them takes its time, too."""


class Flow:
    """The counts that every command changes, in one place for the gate and the metrics.

    @ivar open: the gate is open. @ivar in_flight: commands that were admitted and not released.
    @ivar unsent: the queues with something to send at the end of this turn, in the order in which they got it.
    @ivar figures: counts and times of commands. @ivar measures: they are taken. @ivar clock: tells nanoseconds.
    @ivar slow_ns: what takes at least so long is told to C{on_slow}, with its entry and both times; 0 for none.
    @ivar opened_ns: when the gate was opened last.
    @ivar until_sample: after so many commands C{on_sample} is called with an entry, its commands, and how many they
        are, and sets this to more than 0 again. While it is 0 none are counted.
    @ivar on_read_only: called before a reply is passed on with which a server refuses a write because it is a replica.
    @param families, bounds_ns: see L{CommandFigures}.
    """

    __slots__ = (
        "bytes_from_clients", "bytes_to_clients", "clock", "commands", "figures", "in_flight", "measures",
        "on_read_only", "on_sample", "on_slow", "open", "opened_ns", "slow_ns", "unsent", "until_sample"
    )  # fmt: skip

    def __init__(self, families: Mapping[bytes, int] | None = None, bounds_ns: Sequence[int] = ()) -> None:
        self.figures = CommandFigures(families or {}, bounds_ns)
        self.clock: Callable[[], int] = time.monotonic_ns
        self.slow_ns = self.opened_ns = self.until_sample = 0
        self.on_sample: Callable[[Entry, bytes, int], None] = lambda entry, data, count: None
        self.on_slow: Callable[[Entry, int, int], None] = lambda entry, client_ns, uplink_ns: None
        self.open = self.measures = True
        self.in_flight = 0
        self.commands = 0
        self.bytes_from_clients = 0
        self.bytes_to_clients = 0
        self.unsent: dict[Queue, None] = {}
        self.on_read_only: Callable[[], None] | None = None

    def begun(self, entry: Entry, data: bytes, count: int, arrived_ns: int) -> None:
        """Commands of a client were submitted: count them, and note what their replies are measured with.

        @param data: they themselves, or the beginning of one. @param count: how many they are.
        @param arrived_ns: when the client had sent them, on L{clock}; 0 for what is not measured.
        """
        self.commands += count
        if not self.measures:
            return
        entry.family, entry.families = self.figures.sent(data, count)
        entry.arrived_ns = arrived_ns
        if self.slow_ns:
            entry.head, entry.count = data if len(data) <= KEPT_BYTES * count else data[:KEPT_BYTES], count
        if self.until_sample:
            self.until_sample -= count
            if self.until_sample <= 0:
                self.on_sample(entry, data, count)

    def reopen(self) -> None:
        """The gate is open again."""
        self.open = True
        self.opened_ns = self.clock()

    def flush(self) -> None:
        """Send everything that is unsent, in order."""
        for queue in list(self.unsent):
            queue.flush()


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
        "_end_of_turn", "_entries", "_flow", "_fresh", "_out", "_release", "_scanner", "pinned", "ready", "straight",
        "transport"
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
        self._fresh = 0  # how many of the last entries have not left
        self._scanner = ReplyScanner()

    def __len__(self) -> int:
        return len(self._entries)

    def submit(self, sink: Any, data: bytes, count: int, counted: bool = True, timed: bool = True) -> Entry:
        """Send `data` at the end of this turn; its `count` replies are for `sink`."""
        entry = Entry(sink, count, counted, timed)
        self._entries.append(entry)
        self._fresh += 1
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
            self._stamp()
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _stamp(self) -> None:
        """Note when the last entries leave."""
        now = self._flow.clock()
        for entry in islice(reversed(self._entries), self._fresh):
            entry.sent_ns = now
        self._fresh = 0

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
            self._entries.insert(1, head.rest())
        return True

    def clear(self) -> list[Entry]:
        """Forget everything; who waited."""
        entries = list(self._entries)
        self._entries.clear()
        self._fresh = 0
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
        entry.sized = None
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
        released, position, handled, size, entries = 0, 0, 0, len(data), self._entries
        try:
            while position < size:
                if not entries:
                    raise ProtocolError("bytes that belong to no request")
                entry, start = entries[0], position
                scan = self._scan if entry.sized is None else self._scan_sampled
                position, done = scan(entry, data, start, entry.want)
                if done:
                    if not handled % FEW:
                        now = self._flow.clock()
                    handled += 1
                    self._measure(entry, done, now)
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

    def _scan_sampled(self, entry: Entry, data: bytes, start: int, most: int) -> tuple[int, int]:
        """The same up to the reply whose size is asked for, and then for that one."""
        position, done = self._scan(entry, data, start, min(entry.before or 1, most))
        if entry.before:
            entry.before -= done
            return position, done
        entry.size += position - start
        if done and entry.sized is not None:
            entry.sized(entry.size)
            entry.sized = None
        return position, done

    def _scan(self, entry: Entry, data: bytes, position: int, most: int) -> tuple[int, int]:
        """Pass over `most` replies for `entry`, and count errors among them: one by one if need be."""
        scanner, family, done = self._scanner, entry.family, 0
        for at in (entry.family,) if entry.families is None else entry.families[-entry.want :][:most]:
            family, want = at, most if entry.families is None else 1
            position, some = scanner.scan(data, position, want)
            done += some
            if scanner.errors:
                if family != NOT_COUNTED:
                    self._flow.figures.failed(family, scanner.errors)
                scanner.errors = 0
            if not some:
                break
        if scanner.read_only:
            self._read_only()
        return position, done

    def _read_only(self) -> None:
        self._scanner.read_only = False
        if self._flow.on_read_only is not None:
            self._flow.on_read_only()

    def _measure(self, entry: Entry, done: int, now: int) -> None:
        """So many replies for `entry` are there."""
        if not entry.arrived_ns or not entry.sent_ns:
            return
        flow = self._flow
        client_ns, uplink_ns, answered = now - entry.arrived_ns, now - entry.sent_ns, flow.figures.answered
        # Who was held by a pause was not slow.
        if (
            entry.head
            and client_ns >= flow.slow_ns > 0
            and max(uplink_ns - flow.slow_ns, entry.arrived_ns - flow.opened_ns) >= 0
        ):
            flow.on_slow(entry, client_ns, uplink_ns)
        if entry.families is None:
            answered(entry.family, done, client_ns, uplink_ns)
            return
        begin = len(entry.families) - entry.want
        for family in entry.families[begin : begin + done]:
            answered(family, 1, client_ns, uplink_ns)
