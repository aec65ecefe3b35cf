"""The data planes that reload, switchover and pause are tested with; another one is one more seam here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import formatEvent, globalLogPublisher

from tests.control.over_amp import over_amp
from tests.control.rig import Rig, Seam, same_process

SEAMS: dict[str, Seam] = {"same process": same_process, "over AMP": over_amp}


@pytest.fixture
def errors() -> Iterator[list[dict[str, Any]]]:
    """The failures that are logged."""
    events: list[dict[str, Any]] = []

    def observe(event: dict[str, Any]) -> None:
        events.extend([event] if event.get("log_failure") else [])

    observer: Any = observe
    globalLogPublisher.addObserver(observer)
    yield events
    globalLogPublisher.removeObserver(observer)


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What is logged."""
    texts: list[str] = []

    def observe(event: dict[str, Any]) -> None:
        texts.append(formatEvent(event))

    observer: Any = observe
    globalLogPublisher.addObserver(observer)
    yield texts
    globalLogPublisher.removeObserver(observer)


@pytest.fixture(params=SEAMS)
def make_rig(
    request: pytest.FixtureRequest, tmp_path: Path, errors: list[dict[str, Any]]
) -> Iterator[Callable[..., Rig]]:
    """Makes the rig with these settings; what was made is stopped in the end, and nothing may be left of it."""
    rigs: list[Rig] = []

    def make(**settings: Any) -> Rig:
        rigs.append(Rig(SEAMS[request.param], tmp_path, **settings))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.end()


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig()
