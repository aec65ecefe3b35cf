"""Chooses between the compiled framing, lanes and parsers and their pure twins; both have the same interface.

REDISPROXY_PURE=1 in the environment chooses the pure one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

NATIVE = False
if os.environ.get("REDISPROXY_PURE"):
    NATIVE_REASON = "REDISPROXY_PURE is set"
else:
    try:
        import redisproxy._native.core  # noqa: F401
    except ImportError as error:
        NATIVE_REASON = f"the compiled module is not there: {error}"
    else:
        NATIVE = True
        NATIVE_REASON = "compiled"

if TYPE_CHECKING or not NATIVE:
    from redisproxy.forwarding.entry import Entry
    from redisproxy.forwarding.lane import Lane
    from redisproxy.forwarding.queue import Flow, Queue
    from redisproxy.resp import ReplyScanner, RequestFramer, encode_command, encode_each, parse_replies
else:
    from redisproxy._native.core import (
        Entry,
        Flow,
        Lane,
        Queue,
        ReplyScanner,
        RequestFramer,
        encode_command,
        encode_each,
        parse_replies,
    )

__all__ = [
    "NATIVE",
    "NATIVE_REASON",
    "Entry",
    "Flow",
    "Lane",
    "Queue",
    "ReplyScanner",
    "RequestFramer",
    "encode_command",
    "encode_each",
    "parse_replies",
]
