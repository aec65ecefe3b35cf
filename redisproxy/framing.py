"""Chooses between the compiled framing and its pure twin; both have the same interface."""

from __future__ import annotations

from redisproxy.resp import ReplyScanner, RequestFramer

NATIVE = False
NATIVE_REASON = "there is no compiled module"

__all__ = ["NATIVE", "NATIVE_REASON", "ReplyScanner", "RequestFramer"]
