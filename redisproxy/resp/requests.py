"""Where requests end and what they are called; runs of plain ones leave as one slice."""

from __future__ import annotations

from redisproxy.resp.common import (
    MAX_LINE,
    UNAUTHENTICATED_ARGS,
    UNAUTHENTICATED_BULK,
    ProtocolError,
    printable,
    strict_int,
)
from redisproxy.resp.encode import encode_command
from redisproxy.resp.inline import split_inline

RUN, COMMAND, BEGIN, MORE, END = range(5)

MAX_RUN = 1 << 30

_PLAIN, _SPECIAL, _INLINE, _EMPTY = range(4)
_INCOMPLETE, _LARGE = -1, -2


class RequestFramer:
    """One client's request stream: `feed` what arrives, take units with `next`.

    Units are C{(RUN, data, n)}, n plain commands in one slice; C{(COMMAND, raw, args)}, one command that is special or
    came inline; C{(BEGIN, data, args)}, the beginning of a command larger than `max_held_bytes`, followed by
    C{(MORE, data, 0)} and one C{(END, data, 0)}.

    @param special: upper-case names that end a run; None: every command is special.
    @ivar max_run: how many commands one C{RUN} may hold.
    @ivar authenticated: False applies Redis's small limits for clients that have not logged in.
    """

    __slots__ = (
        "_at",
        "_buffer",
        "_failed",
        "_first",
        "_inline",
        "_kind",
        "_max_args",
        "_max_bulk",
        "_max_held",
        "_max_inline",
        "_need",
        "_pos",
        "_ready",
        "_searched",
        "_skip",
        "_streaming",
        "authenticated",
        "max_run",
        "special",
    )

    def __init__(
        self,
        special: frozenset[bytes] | None,
        *,
        max_held_bytes: int = 262144,
        max_bulk_bytes: int = 536870912,
        max_inline_bytes: int = MAX_LINE,
        max_args: int = 2147483647,
    ) -> None:
        self.special = special
        self.authenticated = True
        self.max_run = MAX_RUN
        self._max_held = max_held_bytes
        self._max_bulk = max_bulk_bytes
        self._max_inline = max_inline_bytes
        self._max_args = max_args
        self._buffer: bytes | bytearray = b""
        self._pos = 0
        self._failed = ""
        self._inline: list[bytes] = []
        self._ready = -1
        self._streaming = False
        self._skip = 0
        self._begin_command()

    def _begin_command(self) -> None:
        self._need = 0
        self._at = self._searched = self._pos
        self._kind = _PLAIN
        self._first = True
        self._ready = -1

    @property
    def buffered(self) -> int:
        """Bytes held and not yet returned."""
        return len(self._buffer) - self._pos

    @property
    def unread(self) -> bytes:
        """What is held and not yet returned; it stays."""
        return bytes(self._buffer[self._pos :])

    def take_buffer(self) -> bytes:
        """Hand over all bytes that were not returned."""
        data = bytes(self._buffer[self._pos :])
        self._buffer = b""
        self._pos = 0
        self._begin_command()
        return data

    def feed(self, data: bytes) -> None:
        """Append what has arrived; nothing is looked at here."""
        shift = self._pos
        if shift == len(self._buffer):
            self._buffer = data
        elif shift or not isinstance(self._buffer, bytearray):
            self._buffer = bytearray(memoryview(self._buffer)[shift:])
            self._buffer += data
        else:
            self._buffer += data
        self._pos = 0
        self._at -= shift
        self._searched -= shift
        if self._ready >= 0:
            self._ready -= shift

    def next(self) -> tuple[int, bytes, int | list[bytes]] | None:
        """The next unit; None when more bytes are needed.

        @raise ProtocolError: the stream is broken; every later call raises the same.
        """
        if self._failed:
            raise ProtocolError(self._failed)
        if self._streaming:
            return self._continue()
        start, count = self._pos, 0
        while True:
            try:
                end = self._scan() if self._ready < 0 else self._ready
            except ProtocolError as error:
                self._failed = error.text
                if count:
                    return self._run(start, count)
                raise
            if end >= 0 and self._kind == _PLAIN:
                count += 1
                self._pos = end
                self._begin_command()
                if count < self.max_run:
                    continue
                return self._run(start, count)
            if count:
                self._ready = end if end >= 0 else -1
                return self._run(start, count)
            if end < 0:
                return self._begin_stream() if end == _LARGE else None
            unit = self._command(end)
            if unit is not None:
                return unit
            start = self._pos

    def _run(self, start: int, count: int) -> tuple[int, bytes, int]:
        buffer, end = self._buffer, self._pos
        if start == 0 and end == len(buffer) and isinstance(buffer, bytes):
            return RUN, buffer, count
        return RUN, bytes(buffer[start:end]), count

    def _command(self, end: int) -> tuple[int, bytes, list[bytes]] | None:
        raw = bytes(self._buffer[self._pos : end])
        kind = self._kind
        args = self._inline if kind == _INLINE else []
        self._inline = []
        self._pos = end
        self._begin_command()
        if kind == _EMPTY:
            return None
        if kind == _INLINE:
            return COMMAND, encode_command(*args), args
        return COMMAND, raw, split_command(raw)

    # -- looking for the end of one command

    def _scan(self) -> int:
        if not self._need:
            found = self._header()
            if found is not None:
                return found
        return self._arguments()

    def _header(self) -> int | None:
        """Read the first line; the end of the command if that is all, None when arguments follow."""
        buffer, at = self._buffer, self._pos
        if at >= len(buffer):
            return _INCOMPLETE
        if buffer[at] != 42:
            return self._inline_end()
        end = self._line_end(at, "Protocol error: too big mbulk count string")
        if end < 0:
            return _INCOMPLETE
        count = strict_int(buffer[at + 1 : end])
        if count is None or count > self._max_args:
            raise ProtocolError("Protocol error: invalid multibulk length")
        if count > UNAUTHENTICATED_ARGS and not self.authenticated:
            raise ProtocolError("Protocol error: unauthenticated multibulk length")
        if count <= 0:
            self._kind = _EMPTY
            return end + 2
        self._need = count
        self._at = end + 2
        return None

    def _line_end(self, at: int, too_big: str) -> int:
        """Where the CR of the line at `at` is, once its LF is there too; -1 before."""
        buffer = self._buffer
        end = buffer.find(b"\r", at, at + MAX_LINE)
        if end < 0:
            if len(buffer) - at >= MAX_LINE:
                raise ProtocolError(too_big)
            return -1
        return end if end + 1 < len(buffer) else -1

    def _inline_end(self) -> int:
        buffer, at = self._buffer, self._pos
        end = buffer.find(b"\n", max(at, self._searched))
        if end < 0 or end - at > self._max_inline:
            if len(buffer) - at > self._max_inline:
                raise ProtocolError("Protocol error: too big inline request")
            self._searched = len(buffer)
            return _INCOMPLETE
        line = bytes(buffer[at:end])
        args = split_inline(line[:-1] if line.endswith(b"\r") else line)
        self._inline = args
        self._kind = _INLINE if args else _EMPTY
        return end + 1

    def _bulk_size(self, at: int) -> tuple[int, int] | None:
        """Size and position of the bulk whose header is at `at`; None when the header is incomplete."""
        buffer = self._buffer
        if at >= len(buffer):
            return None
        if buffer[at] != 36:
            raise ProtocolError(f"Protocol error: expected '$', got '{printable(buffer[at])}'")
        end = self._line_end(at, "Protocol error: too big bulk count string")
        if end < 0:
            return None
        size = strict_int(buffer[at + 1 : end])
        if size is None or size < 0 or size > self._max_bulk:
            raise ProtocolError("Protocol error: invalid bulk length")
        if size > UNAUTHENTICATED_BULK and not self.authenticated:
            raise ProtocolError("Protocol error: unauthenticated bulk length")
        return size, end + 2

    def _arguments(self) -> int:
        total = len(self._buffer)
        while self._need:
            found = self._bulk_size(self._at)
            end = found[0] + found[1] + 2 if found is not None else total
            if self._first and end - self._pos > self._max_held:
                raise ProtocolError("Protocol error: too big bulk count string")
            if found is None or end > total:
                return self._stopped(max(end, total))
            if self._first:
                self._name(found[1], found[0])
            self._at = end
            self._need -= 1
        return self._at

    def _name(self, start: int, size: int) -> None:
        self._first = False
        special = self.special
        if special is None or (size <= 32 and bytes(self._buffer[start : start + size]).upper() in special):
            self._kind = _SPECIAL

    def _stopped(self, known_end: int) -> int:
        return _INCOMPLETE if known_end - self._pos <= self._max_held else _LARGE

    # -- commands too large to hold

    def _begin_stream(self) -> tuple[int, bytes, list[bytes]]:
        args = split_command(bytes(self._buffer[self._pos : self._at]))
        self._streaming = True
        data = self._advance(self._pos, self._at)
        return BEGIN, bytes(data), args

    def _advance(self, start: int, at: int) -> bytes:
        """Pass over whole and partial bulks from `at`; return everything from `start` to where it had to stop."""
        total = len(self._buffer)
        while True:
            step = min(self._skip, total - at)
            at += step
            self._skip -= step
            if self._skip or not self._need:
                break
            found = self._bulk_size(at)
            if found is None:
                break
            self._need -= 1
            self._skip = found[0] + 2
            at = found[1]
        data = self._buffer[start:at]
        self._pos = self._at = at
        return bytes(data)

    def _continue(self) -> tuple[int, bytes, int] | None:
        try:
            data = self._advance(self._pos, self._pos)
        except ProtocolError as error:
            self._failed = error.text
            raise
        if not self._skip and not self._need:
            self._streaming = False
            self._begin_command()
            return END, data, 0
        return (MORE, data, 0) if data else None


def split_command(raw: bytes) -> list[bytes]:
    """The arguments of one multibulk command, or of its beginning up to the end of an argument.

    Its framing has been checked. As there, and in Redis, a line ends with CR and any other byte: what is decided here
    has to be what the server sees.
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
