"""Parses small, complete replies: the answers to commands that the proxy sends itself."""

from __future__ import annotations

from redisproxy.resp.common import IncompleteReply, ProtocolError, strict_int


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

    @raise IncompleteReply: the end is missing.
    @raise ProtocolError: this is no RESP, or more than one reply.
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
            return _parse(data, at, depth + 1)
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
