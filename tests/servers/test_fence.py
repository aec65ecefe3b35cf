"""The fence: a value that says what was there before it."""

from __future__ import annotations

import pytest

from redisproxy.servers.fence import FENCE, before_fence, fence_value
from tests.servers.states import server


@pytest.mark.parametrize("value", [0, 1, 3, 1000])
@pytest.mark.parametrize("lag", [0, 10])
def test_a_fence_remembers_what_was_before(value: int, lag: int) -> None:
    fence = fence_value(value, lag)
    assert FENCE <= fence < 2**31 and before_fence(fence) == (value, lag == 0)
    assert server(min_replicas=fence).fenced and not server(min_replicas=value).fenced
