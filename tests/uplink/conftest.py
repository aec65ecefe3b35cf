"""What the tests of the uplink begin with."""

from __future__ import annotations

import pytest

from tests.wire import Wire


@pytest.fixture
def wire() -> Wire:
    return Wire()
