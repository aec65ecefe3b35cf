"""Framing of requests and replies, encoders and limits: where a command or a reply ends, and hardly more.

On a command's path this comes first and last: bytes in, boundaries out. Standard library only. The facts are those of
the Redis serialization protocol (https://redis.io/docs/latest/develop/reference/protocol-spec/) and of Redis 7's
networking.c for limits and error texts.
"""

from __future__ import annotations

RUN, COMMAND, BEGIN, MORE, END = range(5)

MAX_LINE = 65536
MAX_LENGTH_LINE = 64
MAX_REPLY_LINE = 1048576
MAX_ELEMENTS = 1 << 40
UNAUTHENTICATED_ARGS = 10
UNAUTHENTICATED_BULK = 16384


class ProtocolError(Exception):
    """The peer broke the protocol. `text` is Redis's own, without C{-ERR }."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class IncompleteReply(Exception):
    """A reply to be parsed whole is not whole."""


_PLAIN, _SPECIAL, _INLINE, _EMPTY = range(4)
_INCOMPLETE, _LARGE = -1, -2


def strict_int(text: bytes | bytearray) -> int | None:
    """Read a length as Redis's string2ll does: no leading zeros, plus signs or spaces; None when it is no number."""
    digits = text[1:] if text[:1] == b"-" else text
    if not digits.isdigit() or len(digits) > 18 or (digits[0] == 48 and len(text) > 1):
        return None
    return int(text)


class RequestFramer:
    """One client's request stream: `feed` what arrives, take units with `next`.

    Units are C{(RUN, data, n)}, n plain commands in one slice; C{(COMMAND, raw, args)}, one command that is special or
    came inline; C{(BEGIN, data, args)}, the beginning of a command larger than `max_held_bytes`, followed by
    C{(MORE, data, 0)} and one C{(END, data, 0)}.

    @param special: upper-case names that end a run; None: every command is special.
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
        "special",
    )

    def __init__(
        self,
        special: frozenset[bytes] | None,
        *,
        max_held_bytes: int = 262144,
        max_bulk_bytes: int = 536870912,
        max_inline_bytes: int = MAX_LINE,
        max_args: int = 1048576,
    ) -> None:
        self.special = special
        self.authenticated = True
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
                continue
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
            raise ProtocolError(f"Protocol error: expected '$', got '{_printable(buffer[at])}'")
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
        if known_end - self._pos <= self._max_held:
            return _INCOMPLETE
        if self._first:
            raise ProtocolError("Protocol error: too big bulk count string")
        return _LARGE

    # -- commands too large to hold

    def _begin_stream(self) -> tuple[int, bytes, list[bytes]]:
        args = split_command(bytes(self._buffer[self._pos : self._at]), partial=True)
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


def _printable(byte: int) -> str:
    return chr(byte) if 32 <= byte < 127 else "?"


def split_command(raw: bytes, partial: bool = False) -> list[bytes]:
    """The arguments of one multibulk command whose framing has been checked; with `partial` as many as are complete."""
    args: list[bytes] = []
    at = raw.index(b"\r\n") + 2
    while at < len(raw):
        end = raw.index(b"\r\n", at)
        size = int(raw[at + 1 : end])
        at = end + 2
        args.append(raw[at : at + size])
        at += size + 2
    return args


_ESCAPES = {110: 10, 114: 13, 116: 9, 98: 8, 97: 7}
_SPACES = b" \t\r\n\v\f\0"


def split_inline(line: bytes) -> list[bytes]:
    """Split an inline command as Redis's sdssplitargs does, quotes and escapes included.

    @raise ProtocolError: quotes are not closed, or something follows a closing quote.
    """
    args: list[bytes] = []
    at = 0
    while True:
        while at < len(line) and line[at] in _SPACES:
            at += 1
        if at >= len(line):
            return args
        arg, at = _inline_arg(line, at)
        args.append(arg)


def _inline_arg(line: bytes, at: int) -> tuple[bytes, int]:
    arg = bytearray()
    while at < len(line) and line[at] not in _SPACES:
        if line[at] in b"\"'":
            at = _quoted(line, at, arg)
            if at < len(line) and line[at] not in _SPACES:
                raise ProtocolError("Protocol error: unbalanced quotes in request")
        else:
            arg.append(line[at])
            at += 1
    return bytes(arg), at


def _quoted(line: bytes, at: int, arg: bytearray) -> int:
    quote = line[at]
    at += 1
    while at < len(line) and line[at] != quote:
        if line[at] == 92 and at + 1 < len(line):
            at = _escaped(line, at, quote, arg)
        else:
            arg.append(line[at])
            at += 1
    if at >= len(line):
        raise ProtocolError("Protocol error: unbalanced quotes in request")
    return at + 1


def _escaped(line: bytes, at: int, quote: int, arg: bytearray) -> int:
    following = line[at + 1]
    if quote == 39:
        if following == 39:
            arg.append(39)
            return at + 2
        arg.append(92)
        return at + 1
    digits = line[at + 2 : at + 4]
    if following == 120 and len(digits) == 2 and all(byte in b"0123456789abcdefABCDEF" for byte in digits):
        arg.append(int(digits, 16))
        return at + 4
    arg.append(_ESCAPES.get(following, following))
    return at + 2


class ReplyScanner:
    """One uplink connection's reply stream, RESP2 and RESP3. It keeps no values: what arrives can be passed on.

    @ivar pushes: how many push messages have passed at the top level; they are not replies.
    """

    __slots__ = ("_in_line", "_line_bytes", "_partial", "_push", "_skip", "_todo", "pushes")

    def __init__(self) -> None:
        self.pushes = 0
        self._skip = 0
        self._todo = 0
        self._in_line = False
        self._line_bytes = 0
        self._partial = b""
        self._push = False

    @property
    def mid(self) -> bool:
        """Whether a reply has begun and not ended."""
        return bool(self._todo)

    def scan(self, data: bytes, pos: int, want: int) -> tuple[int, int]:
        """Pass over at most `want` replies in `data` from `pos`; return where that ended and how many became complete.

        @raise ProtocolError: this is no RESP.
        """
        done, total = 0, len(data)
        while done < want:
            if self._skip:
                step = min(self._skip, total - pos)
                self._skip -= step
                pos += step
                if self._skip:
                    break
                self._todo -= 1
            elif pos >= total:
                break
            else:
                pos = self._line(data, pos)
                if pos < 0:
                    pos = total
                    break
            if not self._todo:
                done += self._complete()
        return pos, done

    def _complete(self) -> int:
        if self._push:
            self._push = False
            self.pushes += 1
            return 0
        return 1

    def _line(self, data: bytes, pos: int) -> int:
        """Read a header line; where it ends, -1 when it is not all there."""
        end = data.find(b"\n", pos)
        if self._in_line:
            self._grow(len(data) - pos if end < 0 else 0)
            if end >= 0:
                self._in_line = False
                self._todo -= 1
            return end + 1 if end >= 0 else -1
        if not self._todo:
            self._todo = 1
            self._push = not self._partial and data[pos] == 62
        kind = self._partial[0] if self._partial else data[pos]
        if kind in b"+-:,#(_":
            if end < 0:
                self._in_line = True
                self._line_bytes = 0
                self._grow(len(data) - pos)
                return -1
            self._todo -= 1
            return end + 1
        return self._length(data, pos, end, kind)

    def _grow(self, size: int) -> None:
        self._line_bytes += size
        if self._line_bytes > MAX_REPLY_LINE:
            raise ProtocolError("the line of a reply is too long")

    def _length(self, data: bytes, pos: int, end: int, kind: int) -> int:
        line = self._partial + data[pos : end if end >= 0 else len(data)]
        if len(line) > MAX_LENGTH_LINE:
            raise ProtocolError("the length line of a reply is too long")
        if end < 0:
            if kind not in b"$=!*~>%|":
                raise ProtocolError(f"unexpected reply type '{_printable(kind)}'")
            self._partial = line
            return -1
        self._partial = b""
        self._value(kind, line)
        return end + 1

    def _value(self, kind: int, line: bytes) -> None:
        size = strict_int(line[1:].removesuffix(b"\r"))
        if size is None or size < (-1 if kind in b"$*" else 0) or size > MAX_ELEMENTS:
            raise ProtocolError("invalid length in a reply")
        if size < 0:
            self._todo -= 1
        elif kind in b"$=!":
            self._skip = size + 2
        elif kind in b"*~>":
            self._todo += size - 1
        elif kind in b"%":
            self._todo += 2 * size - 1
        elif kind in b"|":
            self._todo += 2 * size
        else:
            raise ProtocolError(f"unexpected reply type '{_printable(kind)}'")
        if self._todo > MAX_ELEMENTS:
            raise ProtocolError("a reply has too many elements")


# -- encoders


def encode_command(*args: bytes | str | int) -> bytes:
    """A command as the proxy sends it."""
    return array_header(len(args)) + b"".join(bulk(_bytes(arg)) for arg in args)


def _bytes(arg: bytes | str | int) -> bytes:
    return arg if isinstance(arg, bytes) else str(arg).encode()


def _line_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape").replace(b"\r", b" ").replace(b"\n", b" ")


def error(text: str) -> bytes:
    """An error reply; line breaks in `text` become spaces."""
    return b"-" + _line_of(text) + b"\r\n"


def simple(text: str) -> bytes:
    """A simple string."""
    return b"+" + _line_of(text) + b"\r\n"


def integer(value: int) -> bytes:
    """An integer."""
    return b":%d\r\n" % value


def bulk(value: bytes) -> bytes:
    """A bulk string."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def verbatim(value: bytes, version: int) -> bytes:
    """Text as RESP3's verbatim string, in RESP2 a bulk string."""
    return b"=%d\r\ntxt:%b\r\n" % (len(value) + 4, value) if version == 3 else bulk(value)


def array_header(count: int) -> bytes:
    """The beginning of an array."""
    return b"*%d\r\n" % count


def map_header(count: int, version: int) -> bytes:
    """The beginning of a map with `count` pairs; in RESP2 a flat array."""
    return b"%%%d\r\n" % count if version == 3 else array_header(2 * count)


def set_header(count: int, version: int) -> bytes:
    """The beginning of a set; in RESP2 an array."""
    return b"~%d\r\n" % count if version == 3 else array_header(count)


def null(version: int) -> bytes:
    """Nothing where a string was asked for."""
    return b"_\r\n" if version == 3 else b"$-1\r\n"


def null_array(version: int) -> bytes:
    """Nothing where an array was asked for."""
    return b"_\r\n" if version == 3 else b"*-1\r\n"


# -- parsing small replies whole


class RespError:
    """An error reply. `text` is without the leading C{-}."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RespError) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"RespError({self.text!r})"


MAX_DEPTH = 16


def parse_reply(data: bytes) -> object:
    """Parse exactly one complete reply: bytes, int, float, bool, None, list, dict, set as list, or L{RespError}.

    @raise IncompleteReply: it is not whole.
    @raise ProtocolError: it is no RESP, or more than one reply.
    """
    value, end = _parse(data, 0, 0)
    if end != len(data):
        raise ProtocolError("more than one reply")
    return value


def parse_replies(data: bytes) -> list[object]:
    """Parse a sequence of complete replies; errors as with L{parse_reply}."""
    values = []
    at = 0
    while at < len(data):
        value, at = _parse(data, at, 0)
        values.append(value)
    return values


def _parse(data: bytes, at: int, depth: int) -> tuple[object, int]:
    end = data.find(b"\r\n", at)
    if end < 0:
        raise IncompleteReply
    if depth > MAX_DEPTH:
        raise ProtocolError("a reply is nested too deeply")
    kind, text = data[at : at + 1], data[at + 1 : end]
    at = end + 2
    if kind in (b"+", b"-", b":", b",", b"#", b"(", b"_"):
        return _scalar(kind, text), at
    size = strict_int(text)
    if size is None or size > len(data):
        raise IncompleteReply if size is not None else ProtocolError("invalid length in a reply")
    if size < 0:
        return None, at
    if kind in (b"$", b"=", b"!"):
        return _string(kind, data, at, size)
    if kind in (b"*", b"~", b">"):
        return _elements(data, at, size, depth)
    if kind in (b"%", b"|"):
        flat, at = _elements(data, at, 2 * size, depth)
        if kind == b"|":
            return _parse(data, at, depth)
        return {_key(key): value for key, value in zip(flat[::2], flat[1::2], strict=True)}, at
    raise ProtocolError("unexpected reply type")


def _key(key: object) -> object:
    return key if isinstance(key, (bytes, int, float, bool)) or key is None else repr(key)


def _scalar(kind: bytes, text: bytes) -> object:
    try:
        if kind == b"-":
            return RespError(text.decode("utf-8", "replace"))
        if kind in (b":", b"("):
            return int(text)
        if kind == b",":
            return float(text)
    except ValueError:
        raise ProtocolError("invalid number in a reply") from None
    return text == b"t" if kind == b"#" else None if kind == b"_" else text


def _string(kind: bytes, data: bytes, at: int, size: int) -> tuple[object, int]:
    if at + size + 2 > len(data):
        raise IncompleteReply
    value = data[at : at + size]
    if kind == b"!":
        return RespError(value.decode("utf-8", "replace")), at + size + 2
    return (value[4:] if kind == b"=" else value), at + size + 2


def _elements(data: bytes, at: int, count: int, depth: int) -> tuple[list[object], int]:
    values = []
    for _ in range(count):
        value, at = _parse(data, at, depth + 1)
        values.append(value)
    return values, at
