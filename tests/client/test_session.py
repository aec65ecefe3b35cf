"""What is remembered of one client."""

from __future__ import annotations

import pytest

from redisproxy.client.session import DEFAULT_USER, Session
from redisproxy.client.session_value import MAX_WATCHED, MAX_WATCHED_BYTES


@pytest.mark.parametrize(
    ("kept", "size"), [(MAX_WATCHED, 8), (MAX_WATCHED_BYTES // 262144, 262144), (1, MAX_WATCHED_BYTES)]
)
def test_the_keys_of_watches_are_remembered_within_bounds_of_number_and_size(kept: int, size: int) -> None:
    session = Session(DEFAULT_USER)
    for number in range(kept):
        session.watch([b"%0*d" % (size, number)])
    assert session.watched is not None and len(session.watched) == kept
    session.watch([b"k"])
    assert session.watching and session.watched is None
    session.unwatch()
    session.watch([b"k"])
    assert session.watched == (b"k",)
