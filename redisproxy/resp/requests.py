"""Splits the request stream of a client: runs of plain commands leave as one slice, special ones with their arguments.

The pure twin of C{RequestFramer} in C{_native}, with the same interface and the same answers.
"""

from __future__ import annotations

from redisproxy.resp.command_scanner import EMPTY, INLINE, LARGE, PLAIN, CommandScanner
from redisproxy.resp.common import MAX_LINE, ProtocolError
from redisproxy.resp.encode import encode_command
from redisproxy.resp.large_command import LargeCommand
from redisproxy.resp.request_lines import MAX_ARGS, RequestLimits

RUN, COMMAND, BEGIN, MORE, END = range(5)

MAX_RUN = 1 << 30
_UNKNOWN = -1


class RequestFramer:
    """The request stream of one client: `feed` what arrives, take units with `next`.

    Units are C{(RUN, data, n)}, n plain commands in one slice; C{(COMMAND, raw, args)}, one command that is special or
    came inline; C{(BEGIN, data, args)}, the beginning of a command larger than `max_held_bytes`, followed by
    C{(MORE, data, 0)} and one C{(END, data, 0)}.

    @param special: upper-case names that end a run; None: every command is special.
    @ivar max_run: how many commands one C{RUN} may hold.
    """

    __slots__ = ("_buffer", "_end", "_failed", "_large", "_limits", "_pos", "_scanner", "max_run")

    def __init__(
        self,
        special: frozenset[bytes] | None,
        *,
        max_held_bytes: int = 262144,
        max_bulk_bytes: int = 536870912,
        max_inline_bytes: int = MAX_LINE,
        max_args: int = MAX_ARGS,
    ) -> None:
        self.max_run = MAX_RUN
        self._limits = RequestLimits(max_held_bytes, max_bulk_bytes, max_inline_bytes, max_args)
        self._scanner = CommandScanner(special, self._limits)
        self._large: LargeCommand | None = None
        self._buffer: bytes | bytearray = b""
        self._pos = 0
        self._end = _UNKNOWN
        self._failed = ""

    @property
    def special(self) -> frozenset[bytes] | None:
        """Upper-case names that end a run; None: every command is special."""
        return self._scanner.special

    @special.setter
    def special(self, names: frozenset[bytes] | None) -> None:
        if names is not self._scanner.special and self._large is None:
            self._scanner.reset()  # the name of a command that has arrived in part is looked at again
            self._end = _UNKNOWN
        self._scanner.special = names

    @property
    def authenticated(self) -> bool:
        """False applies Redis's small limits for clients that have not logged in."""
        return self._limits.authenticated

    @authenticated.setter
    def authenticated(self, authenticated: bool) -> None:
        self._limits.authenticated = authenticated

    @property
    def buffered(self) -> int:
        """How many bytes were fed and not yet returned."""
        return len(self._buffer) - self._pos

    @property
    def unread(self) -> bytes:
        """What is held and not yet returned; it stays."""
        return bytes(self._buffer[self._pos :])

    def take_buffer(self) -> bytes:
        """Take out all bytes that were not returned."""
        data = bytes(self._buffer[self._pos :])
        self._buffer = b""
        self._pos = 0
        self._end = _UNKNOWN
        self._scanner.reset()
        return data

    def feed(self, data: bytes) -> None:
        """Append what has arrived, without looking at it."""
        shift = self._pos
        self._pos = 0
        if shift == len(self._buffer):
            self._buffer = data
            return
        if shift:
            self._buffer = bytearray(memoryview(self._buffer)[shift:])
            self._scanner.moved(shift)
            if self._end >= 0:
                self._end -= shift
        elif not isinstance(self._buffer, bytearray):
            self._buffer = bytearray(self._buffer)
        self._buffer += data

    def next(self) -> tuple[int, bytes, int | list[bytes]] | None:
        """The next unit; None when more bytes are needed.

        @raise ProtocolError: the stream is broken; every later call raises the same.
        """
        if self._failed:
            raise ProtocolError(self._failed)
        if self._large is not None:
            return self._more(self._large)
        while True:
            start = self._pos
            count = self._pass_plain()
            if count:
                return self._run(start, count)
            if self._end < 0:
                return self._begin_large() if self._end == LARGE else None
            unit = self._command(self._end)
            if unit is not None:
                return unit

    def _pass_plain(self) -> int:
        """Pass over whole plain commands; how many. C{_end} is where the next one ends, if that is known."""
        scanner, count = self._scanner, 0
        while True:
            try:
                end = scanner.scan(self._buffer, self._pos) if self._end < 0 else self._end
            except ProtocolError as error:
                self._failed = error.text
                if count:
                    return count
                raise
            if end < 0 or scanner.kind != PLAIN:
                self._end = end
                return count
            count += 1
            self._pos = end
            if count >= self.max_run:
                self._end = _UNKNOWN
                return count

    def _run(self, start: int, count: int) -> tuple[int, bytes, int]:
        buffer, end = self._buffer, self._pos
        if start == 0 and end == len(buffer) and isinstance(buffer, bytes):
            return RUN, buffer, count
        return RUN, bytes(buffer[start:end]), count

    def _command(self, end: int) -> tuple[int, bytes, list[bytes]] | None:
        raw, kind = bytes(self._buffer[self._pos : end]), self._scanner.kind
        self._pos = end
        self._end = _UNKNOWN
        if kind == EMPTY:
            return None
        if kind == INLINE:
            args, self._scanner.inline = self._scanner.inline, []
            return COMMAND, encode_command(*args), args
        return COMMAND, raw, split_command(raw)

    # -- commands too large to hold

    def _begin_large(self) -> tuple[int, bytes, list[bytes]]:
        start, at = self._pos, self._scanner.at
        args = split_command(bytes(self._buffer[start:at]))
        large = self._large = LargeCommand(self._scanner.left, self._limits)
        self._scanner.reset()
        self._end = _UNKNOWN
        self._pos = large.advance(self._buffer, at)
        return BEGIN, bytes(self._buffer[start : self._pos]), args

    def _more(self, large: LargeCommand) -> tuple[int, bytes, int] | None:
        start = self._pos
        try:
            self._pos = large.advance(self._buffer, start)
        except ProtocolError as error:
            self._failed = error.text
            raise
        data = bytes(self._buffer[start : self._pos])
        if large.complete:
            self._large = None
            return END, data, 0
        return (MORE, data, 0) if data else None


def split_command(raw: bytes) -> list[bytes]:
    """The arguments of one multibulk command, or of its beginning up to the end of an argument.

    Its framing has been checked. As in the framing, and in Redis, a line ends with CR and any byte after it: the proxy
    must see the same arguments as the server.
    """
    args: list[bytes] = []
    at = raw.index(b"\r") + 2
    while at < len(raw):
        end = raw.index(b"\r", at)
        size = int(raw[at + 1 : end])
        at = end + 2
        args.append(raw[at : at + size])
        at += size + 2
    return args
