"""The step that is shown in a terminal, in words."""

from __future__ import annotations

from typing import Any

import pytest

from redisproxy.switch_test.step_watch import current, in_words


@pytest.mark.parametrize(
    ("running", "words"),
    [
        ({}, ""),
        ({"step": "fence"}, "fence"),
        ({"step": "catch up", "bytes_left": None}, "catch up"),
        ({"step": "catch up", "bytes_left": 12_340_000}, "catch up: 12.3 MB left"),
        ({"step": "copy", "keys": 1000, "total_keys": 2000}, "copy: 1,000 of 2,000 keys"),
    ],
)
def test_the_step_is_told_with_what_is_left(running: dict[str, Any], words: str) -> None:
    assert in_words(running) == words


def test_a_proxy_that_does_not_answer_runs_nothing() -> None:
    assert current("127.0.0.1:1") == {}
