"""Inline commands, as typed into telnet: splits a line into arguments as Redis does."""

from __future__ import annotations

from redisproxy.resp.common import ProtocolError

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
