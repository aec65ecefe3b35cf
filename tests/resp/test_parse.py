"""Small replies are parsed whole."""

from __future__ import annotations

import pytest

from redisproxy import resp
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
