"""The header lines of requests, and the limits that Redis and the configuration set for them."""

from __future__ import annotations

from redisproxy.resp.common import (
    MAX_LINE,
    UNAUTHENTICATED_ARGS,
    UNAUTHENTICATED_BULK,
    ProtocolError,
    printable,
    strict_int,
)

MAX_ARGS = 2147483647


class RequestLimits:
    """The limits for the requests of one client.

    @ivar held_bytes: a larger command is passed on in pieces.
    @ivar authenticated: False applies the small limits of Redis for clients that have not logged in.
    """

    __slots__ = ("args", "authenticated", "bulk_bytes", "held_bytes", "inline_bytes")

    def __init__(self, held_bytes: int, bulk_bytes: int, inline_bytes: int, args: int) -> None:
        self.held_bytes = held_bytes
        self.bulk_bytes = bulk_bytes
        self.inline_bytes = inline_bytes
        self.args = args
        self.authenticated = True


def line_end(buffer: bytes | bytearray, at: int, too_big: str) -> int:
    """Where the CR of the line at `at` is, once its LF is there too; -1 before.

    @raise ProtocolError: the line is too long; `too_big` is the text.
    """
    end = buffer.find(b"\r", at, at + MAX_LINE)
    if end < 0:
        if len(buffer) - at >= MAX_LINE:
            raise ProtocolError(too_big)
        return -1
    return end if end + 1 < len(buffer) else -1


def argument_count(line: bytes | bytearray, limits: RequestLimits) -> int:
    """The number of arguments in the first line of a request, without its C{*}; 0 for an empty request.

    @raise ProtocolError: it is no number, or too large.
    """
    count = strict_int(line)
    if count is None or count > limits.args:
        raise ProtocolError("Protocol error: invalid multibulk length")
    if count > UNAUTHENTICATED_ARGS and not limits.authenticated:
        raise ProtocolError("Protocol error: unauthenticated multibulk length")
    return max(count, 0)


def bulk_header(buffer: bytes | bytearray, at: int, limits: RequestLimits) -> tuple[int, int] | None:
    """Size and position of the argument whose header is at `at`; None while the header is incomplete.

    @raise ProtocolError: this is no header, or the argument is too large.
    """
    if at >= len(buffer):
        return None
    if buffer[at] != 36:
        raise ProtocolError(f"Protocol error: expected '$', got '{printable(buffer[at])}'")
    end = line_end(buffer, at, "Protocol error: too big bulk count string")
    if end < 0:
        return None
    size = strict_int(buffer[at + 1 : end])
    if size is None or size < 0 or size > limits.bulk_bytes:
        raise ProtocolError("Protocol error: invalid bulk length")
    if size > UNAUTHENTICATED_BULK and not limits.authenticated:
        raise ProtocolError("Protocol error: unauthenticated bulk length")
    return size, end + 2
