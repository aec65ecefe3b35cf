"""Where one connection with messages ends for a client and another one that brings the same begins: at a marker.

The marker comes at the same place in both streams, since the server sends everything in one order (C{stream_marker}
sends it). What stands before it goes to the client from the old connection, what comes after it from the new one:
nothing is lost and nothing comes twice, whoever publishes meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from redisproxy.resp import parse_reply


class StreamCut:
    """What one of the two connections brings.

    Once L{open} was called everything after the marker goes to the client; until then it is held.

    @param write: takes what goes to the client.
    @param is_old: this is the connection that is left; what stands before the marker goes to the client.
    @param max_held_bytes: with more, L{open} fails.
    @ivar marker: the channel, or the text of the command. @ivar passed: whether the marker has come.
    @ivar on_over: called once the marker has come and the client goes on here.
    """

    __slots__ = (
        "_held", "_is_old", "_max_held", "_opened", "_reached", "_rest", "_size", "_write",
        "marker", "on_over", "passed"
    )  # fmt: skip

    def __init__(self, marker: bytes, write: Callable[[bytes], None], is_old: bool, max_held_bytes: int) -> None:
        self.marker = marker
        self.passed = False
        self.on_over: Callable[[], None] = lambda: None
        self._write = write
        self._is_old = is_old
        self._max_held = max_held_bytes
        self._held: list[bytes] = []
        self._size = 0
        self._rest = b""
        self._opened = False
        self._reached: Deferred[None] | None = None

    # -- what the connection brings

    def kind(self, data: bytes) -> str:
        """What a whole message or confirmation is that belongs to the marker; empty for all others."""
        parts = parse_reply(data)
        if not isinstance(parts, list) or self.marker not in parts[1:3]:
            return ""
        if parts[0].lower().endswith(b"subscribe"):
            return "confirmation"
        if parts[1] == self.marker:
            self._marker_came()
        return "swallowed"  # as a message of a pattern it comes once more

    def message(self, data: bytes) -> None:
        """Take a message, or a piece of one."""
        if not data:
            return
        if self._opened if self.passed else self._is_old:
            self._write(data)
        elif self.passed:
            self._size += len(data)
            if self._size <= self._max_held:
                self._held.append(data)

    def lines(self, data: bytes) -> None:
        """Take lines of MONITOR, or pieces of them."""
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        data, self._rest = data[:end], data[end:]
        at = -1 if self.passed else data.find(self.marker)
        if at < 0:
            self.message(data)
            return
        self.message(data[: data.rfind(b"\n", 0, at) + 1])
        self.passed = True
        self.message(data[data.find(b"\n", at) + 1 :])
        self._marker_came()

    def _marker_came(self) -> None:
        self.passed = True
        self._look()
        reached, self._reached = self._reached, None
        if reached is not None:
            reached.callback(None)

    # -- what becomes of it

    def reached(self) -> Deferred[None]:
        """Fire when the marker has come. Can be cancelled."""
        waiting: Deferred[None] = Deferred(lambda _: setattr(self, "_reached", None))
        if self.passed:
            waiting.callback(None)
        else:
            self._reached = waiting
        return waiting

    def open(self) -> bool:
        """Let the client have what comes after the marker; False when there was too much to hold."""
        self._opened = True
        held, self._held = self._held, []
        fits = self._size <= self._max_held
        if fits and held:
            self._write(b"".join(held))
        self._look()
        return fits

    def pass_rest(self) -> None:
        """Pass on the beginning of a line that has not ended."""
        rest, self._rest = self._rest, b""
        if rest:
            self._write(rest)

    def _look(self) -> None:
        if self.passed and self._opened:
            self.on_over()
