"""A command that is too large to hold: its bytes are passed on as they arrive, and this finds its end."""

from __future__ import annotations

from redisproxy.resp.request_lines import RequestLimits, bulk_header


class LargeCommand:
    """The rest of one large command.

    @param arguments_left: how many arguments begin at or after the position where L{advance} is first called.
    """

    __slots__ = ("_arguments_left", "_limits", "_skip")

    def __init__(self, arguments_left: int, limits: RequestLimits) -> None:
        self._arguments_left = arguments_left
        self._limits = limits
        self._skip = 0

    @property
    def complete(self) -> bool:
        """Whether all of it has been passed over."""
        return not self._skip and not self._arguments_left

    def advance(self, buffer: bytes | bytearray, at: int) -> int:
        """Pass over whole and partial arguments from `at`; the position where more bytes are needed, or the end.

        @raise ProtocolError: this is no argument.
        """
        total = len(buffer)
        while True:
            step = min(self._skip, total - at)
            at += step
            self._skip -= step
            if self._skip or not self._arguments_left:
                return at
            found = bulk_header(buffer, at, self._limits)
            if found is None:
                return at
            self._arguments_left -= 1
            self._skip = found[0] + 2
            at = found[1]
