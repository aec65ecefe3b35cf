"""Framing of requests and replies, encoders, and small parsers: bytes are interpreted here and nowhere else.

On a command's path this room comes first and last: bytes in, boundaries out. It knows no other room and no Twisted. Its
sources are the Redis serialization protocol (https://redis.io/docs/latest/develop/reference/protocol-spec/) and, for
limits and error texts, Redis 7's networking.c.
"""

from redisproxy.resp.common import IncompleteReply, ProtocolError, strict_int
from redisproxy.resp.encode import (
    array_header,
    bulk,
    encode_command,
    encode_each,
    error,
    integer,
    map_header,
    null,
    null_array,
    push_header,
    set_header,
    simple,
    verbatim,
)
from redisproxy.resp.inline import split_inline
from redisproxy.resp.parse import RespError, parse_replies, parse_reply
from redisproxy.resp.replies import ReplyScanner
from redisproxy.resp.requests import BEGIN, COMMAND, END, MORE, RUN, RequestFramer, split_command

__all__ = [
    "BEGIN",
    "COMMAND",
    "END",
    "MORE",
    "RUN",
    "IncompleteReply",
    "ProtocolError",
    "ReplyScanner",
    "RequestFramer",
    "RespError",
    "array_header",
    "bulk",
    "encode_command",
    "encode_each",
    "error",
    "integer",
    "map_header",
    "null",
    "null_array",
    "parse_replies",
    "parse_reply",
    "push_header",
    "set_header",
    "simple",
    "split_command",
    "split_inline",
    "strict_int",
    "verbatim",
]
