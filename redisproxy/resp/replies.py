"""Finds where replies end; keeps nothing of them, so that what arrives can be passed on at once."""

from __future__ import annotations

from redisproxy.resp.common import MAX_ELEMENTS, MAX_LENGTH_LINE, MAX_REPLY_LINE, ProtocolError, printable, strict_int

READ_ONLY = b"-READONLY "
"""How a replica begins its answer to a write: it was not carried out."""


class ReplyScanner:
    """The reply stream of one uplink connection, RESP2 and RESP3.

    @ivar pushes: how many push messages there were at the top level; they are not replies.
    @ivar counts_pushes: count push messages as replies all the same.
    @ivar errors: how many replies were errors since this was set to 0; those within arrays do not count.
    @ivar read_only: there was a C{READONLY} error since this was set to False.
    """

    __slots__ = (
        "_error", "_in_line", "_line_bytes", "_matched", "_partial", "_push", "_skip", "_todo", "counts_pushes",
        "errors", "pushes", "read_only"
    )  # fmt: skip

    def __init__(self) -> None:
        self.pushes = self.errors = 0
        self.counts_pushes = self.read_only = False
        self._skip = self._matched = 0
        self._todo = 0
        self._in_line = False
        self._line_bytes = 0
        self._partial = b""
        self._push = self._error = False

    @property
    def mid(self) -> bool:
        """Whether a reply has begun and not ended."""
        return bool(self._todo)

    def scan(self, data: bytes, pos: int, want: int) -> tuple[int, int]:
        """Pass over at most `want` replies in `data` from `pos`; the position after them, and how many became complete.

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
            return int(self.counts_pushes)
        self.errors += self._error
        return 1

    def _line(self, data: bytes, pos: int) -> int:
        """Read a header line; the position after it, -1 while its end is missing."""
        end = data.find(b"\n", pos)
        if self._in_line:
            return self._rest_of_line(data, pos, end)
        if not self._todo:
            self._todo = 1
            self._push = not self._partial and data[pos] == 62
            self._matched = 0
            self._error = data[pos] in b"-!"
            if self._error and not self._partial:
                self._match(data, pos)
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

    def _rest_of_line(self, data: bytes, pos: int, end: int) -> int:
        if self._matched:
            self._match(data, pos)
        self._grow(len(data) - pos if end < 0 else 0)
        if end >= 0:
            self._in_line = False
            self._todo -= 1
        return end + 1 if end >= 0 else -1

    def _match(self, data: bytes, pos: int) -> None:
        """Compare what there is of an error with READ_ONLY; it may come in pieces."""
        part = data[pos : pos + len(READ_ONLY) - self._matched]
        same = READ_ONLY.startswith(part, self._matched)
        self._matched = self._matched + len(part) if same else 0
        if self._matched == len(READ_ONLY):
            self._matched, self.read_only = 0, True

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
                raise ProtocolError(f"unexpected reply type '{printable(kind)}'")
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
            raise ProtocolError(f"unexpected reply type '{printable(kind)}'")
        if self._todo > MAX_ELEMENTS:
            raise ProtocolError("a reply has too many elements")
