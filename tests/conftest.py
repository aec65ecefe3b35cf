"""The order of the modules, and the fixture that most tests in memory begin with.

What takes long is begun first, so that at the end no process is alone with a long one.
"""

from __future__ import annotations

import pytest

from tests.wire import Wire

LONGEST = (
    "test_simulation",
    "test_chaos",
    "test_stop",
    "test_workers",
    "test_switchover",
    "test_copy_switchover",
    "test_way_back",
    "test_page",
    "test_limits",
    "test_upgrade",
    "test_hooks",
    "test_fleet",
    "test_sentinel",
    "test_start_stop",
    "test_every_command",
)
"""Modules, the longest first; behind them come the others with real processes, then those in memory."""

LAST = ("test_order",)
"""Modules in which a millisecond matters: they run when the others are done."""


@pytest.fixture
def wire() -> Wire:
    """A proxy in memory, of which the test plays the clients and the server."""
    return Wire()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort them; within a module the order stays."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    module = item.path.stem
    if module in LONGEST:
        return LONGEST.index(module)
    return len(LONGEST) + (2 if module in LAST else "end_to_end" not in item.path.parts)
