"""Finds where one command ends, in a buffer that grows, and whether it is plain; a part of the framing of requests."""

from __future__ import annotations

from redisproxy.resp.common import ProtocolError
from redisproxy.resp.inline import split_inline
from redisproxy.resp.request_lines import RequestLimits, argument_count, bulk_header, line_end

PLAIN, SPECIAL, INLINE, EMPTY = range(4)
INCOMPLETE, LARGE = -1, -2
MAX_NAME = 32


class CommandScanner:
    """Looks for the end of one command, and remembers how far it got.

    @ivar special: upper-case names of commands that are not plain; None: every command is special.
    @ivar kind: C{PLAIN}, C{SPECIAL}, C{INLINE} or C{EMPTY}; valid once L{scan} has returned the end.
    @ivar inline: the arguments, if the kind is C{INLINE}.
    @ivar at: where the next argument begins. @ivar left: how many arguments are still to come.
    """

    __slots__ = ("_named", "_searched", "at", "inline", "kind", "left", "limits", "special")

    def __init__(self, special: frozenset[bytes] | None, limits: RequestLimits) -> None:
        self.special = special
        self.limits = limits
        self.inline: list[bytes] = []
        self.reset()

    def reset(self) -> None:
        """Forget a command that has begun."""
        self.kind = PLAIN
        self.at = self.left = self._searched = 0
        self._named = False

    def moved(self, by: int) -> None:
        """Adjust positions: the bytes in the buffer have moved `by` bytes to the front."""
        self.at -= by
        self._searched -= by

    def scan(self, buffer: bytes | bytearray, start: int) -> int:
        """Where the command that begins at `start` ends; C{INCOMPLETE}, or C{LARGE} when it can't be held.

        @raise ProtocolError: this is no command.
        """
        if not self.left:
            if start >= len(buffer):
                return INCOMPLETE
            self.kind = PLAIN
            if buffer[start] != 42:
                return self._inline_end(buffer, start)
            end = line_end(buffer, start, "Protocol error: too big mbulk count string")
            if end < 0:
                return INCOMPLETE
            self.left = argument_count(buffer[start + 1 : end], self.limits)
            self.at = end + 2
            if not self.left:
                self.kind = EMPTY
            self._named = False
        return self._arguments_end(buffer, start)

    def _inline_end(self, buffer: bytes | bytearray, start: int) -> int:
        end = buffer.find(b"\n", max(start, self._searched))
        limit = self.limits.inline_bytes
        if end < 0 or end - start > limit:
            if len(buffer) - start > limit:
                raise ProtocolError("Protocol error: too big inline request")
            self._searched = len(buffer)
            return INCOMPLETE
        self._searched = 0
        line = bytes(buffer[start:end])
        self.inline = split_inline(line[:-1] if line.endswith(b"\r") else line)
        self.kind = INLINE if self.inline else EMPTY
        return end + 1

    def _arguments_end(self, buffer: bytes | bytearray, start: int) -> int:
        total, limits = len(buffer), self.limits
        while self.left:
            found = bulk_header(buffer, self.at, limits)
            end = found[0] + found[1] + 2 if found is not None else total
            if not self._named and end - start > limits.held_bytes:
                raise ProtocolError("Protocol error: too big bulk count string")
            if found is None or end > total:
                return INCOMPLETE if max(end, total) - start <= limits.held_bytes else LARGE
            if not self._named:
                self._name(buffer[found[1] : found[1] + found[0]] if found[0] <= MAX_NAME else b"")
            self.at = end
            self.left -= 1
        return self.at

    def _name(self, name: bytes | bytearray) -> None:
        self._named = True
        if self.special is None or bytes(name).upper() in self.special:
            self.kind = SPECIAL
