"""What the proxy sends of its own."""

from __future__ import annotations

from redisproxy import resp


def test_errors_can_not_break_the_line() -> None:
    assert resp.error("ERR a\r\n+OK") == b"-ERR a  +OK\r\n"
