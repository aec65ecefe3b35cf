"""Small replies are parsed whole."""

from __future__ import annotations

import pytest

from redisproxy import resp
from redisproxy.forwarding.twins import parse_replies
from redisproxy.resp import ProtocolError, RespError


def test_small_replies_parsed_whole() -> None:
    data = b"*4\r\n$1\r\na\r\n:1\r\n-ERR x\r\n%1\r\n+k\r\n_\r\n"
    assert resp.parse_reply(data) == [b"a", 1, RespError("ERR x"), {b"k": None}]
    with pytest.raises(resp.IncompleteReply):
        resp.parse_reply(data[:-3])
    with pytest.raises(ProtocolError):
        resp.parse_reply(b"*1\r\n" * 40 + b":1\r\n")


def test_attributes_may_not_nest_without_bound() -> None:
    with pytest.raises(ProtocolError):
        resp.parse_reply(b"|0\r\n" * 100000 + b"+OK\r\n")


@pytest.mark.parametrize(
    ("data", "replies"),
    [
        (b"", []),
        (
            b"$1\r\na\r\n$0\r\n\r\n$-1\r\n:-12\r\n+OK\r\n-ERR \xff\r\n",
            [b"a", b"", None, -12, b"OK", RespError("ERR \ufffd")],
        ),
        (b"*2\r\n$2\r\n\r\n\r\n*1\r\n*-1\r\n*0\r\n", [[b"\r\n", [None]], []]),
        (b"+a\rb\r\n$1\r\na\r\n", [b"a\rb", b"a"]),
        (b":+7\r\n:007\r\n,1.5\r\n#t\r\n_\r\n", [7, 7, 1.5, True, None]),
        (b"$1\r\na\r\n%1\r\n+k\r\n:1\r\n~1\r\n=5\r\ntxt:x\r\n", [b"a", {b"k": 1}, [b"x"]]),
        (b":9223372036854775807\r\n", [2**63 - 1]),
    ],
)
def test_replies_of_every_kind(data: bytes, replies: list[object]) -> None:
    assert parse_replies(data) == resp.parse_replies(data) == replies


@pytest.mark.parametrize("nonsense", [b"hello\r\n", b"$x\r\n", b"*1\r\n" * 40 + b":1\r\n", b"+OK\r\n:x\r\n", b"\r\n"])
def test_what_is_no_reply_is_refused(nonsense: bytes) -> None:
    for parse in (parse_replies, resp.parse_replies):
        with pytest.raises(ProtocolError):
            parse(nonsense)


def test_no_beginning_of_a_reply_is_taken_for_a_reply() -> None:
    data = b"*3\r\n$3\r\nabc\r\n:12\r\n+OK\r\n"
    for end in range(1, len(data)):
        for parse in (parse_replies, resp.parse_replies):
            with pytest.raises(resp.IncompleteReply):
                parse(data[:end])
    with pytest.raises(resp.IncompleteReply):
        parse_replies(b"*1000000000000\r\n$1000000000\r\na\r\n")
