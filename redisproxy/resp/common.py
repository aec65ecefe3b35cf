"""What requests and replies share: limits, how lengths are read, and the errors."""

from __future__ import annotations

MAX_LINE = 65536
MAX_LENGTH_LINE = 64
MAX_REPLY_LINE = 1048576
MAX_ELEMENTS = 1 << 40
UNAUTHENTICATED_ARGS = 10
UNAUTHENTICATED_BULK = 16384


class ProtocolError(Exception):
    """The peer broke the protocol; `text` is the one that Redis uses, without C{-ERR }."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class IncompleteReply(Exception):
    """A reply that was to be parsed is incomplete."""


def strict_int(text: bytes | bytearray) -> int | None:
    """Read a length as Redis does (string2ll): no leading zeros, plus signs or spaces; None if it is no number."""
    digits = text[1:] if text[:1] == b"-" else text
    if not digits.isdigit() or len(digits) > 18 or (digits[0] == 48 and len(text) > 1):
        return None
    return int(text)


def printable(byte: int) -> str:
    """A byte as it may stand in an error text."""
    return chr(byte) if 32 <= byte < 127 else "?"
