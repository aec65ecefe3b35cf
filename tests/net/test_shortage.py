"""What the log is told when nobody can be accepted."""

from __future__ import annotations

import errno

import pytest
from twisted.internet.task import Clock
from twisted.logger import Logger

from redisproxy.net.few_lines import SELDOM_S
from redisproxy.net.shortage import REST_S, Shortage


def test_a_shortage_that_lasts_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(Logger, "error", lambda self, text, **values: lines.append(text.format(**values)))
    clock = Clock()
    shortage = Shortage(clock.seconds)
    for _ in range(3):
        shortage.tell(errno.EMFILE)
        clock.advance(REST_S)
    clock.advance(SELDOM_S)
    shortage.tell(errno.EMFILE)
    first = "can't accept for a moment: Too many open files"
    assert lines == [first, f"{first} (and 2 more like it before)"]
