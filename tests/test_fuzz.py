"""Runs every fuzzing target on its seeds, on inputs that once failed, and on what hypothesis makes of its tokens."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_hold(name: str) -> None:
    for seed in TARGETS[name].corpus():
        TARGETS[name].check(seed)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_made_of_tokens_holds(name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    parts = st.lists(st.one_of(st.sampled_from(target.tokens), st.binary(max_size=4)), max_size=20)
    target.check(data.draw(st.binary(min_size=2, max_size=2)) + b"".join(data.draw(parts)))
