"""What the service manager is told, and for how long it hears that the process still works."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from redisproxy.control.service_manager import ServiceManager
from tests.end_to_end.systemd import Notifications

pytestmark = pytest.mark.one_twin


@pytest.fixture
def notifications(tmp_path: Path) -> Iterator[Notifications]:
    made = Notifications(tmp_path)
    yield made
    made.close()


def taken(notifications: Notifications, clock: Clock, **told: str) -> tuple[ServiceManager, dict[str, str]]:
    environ = {"NOTIFY_SOCKET": notifications.path, "HOME": "/", **told}
    return ServiceManager.take(environ, clock), environ


def signs(notifications: Notifications) -> int:
    return sum("WATCHDOG" in message for message in notifications.read())


def test_it_hears_three_signs_of_life_in_its_patience_once_the_process_serves(notifications: Notifications) -> None:
    clock = Clock()
    manager, environ = taken(notifications, clock, WATCHDOG_USEC="30000000", WATCHDOG_PID=str(os.getpid()))
    assert environ == {"HOME": "/"}, "no process that is started takes itself for this one"
    clock.advance(100)
    assert signs(notifications) == 0
    manager.ready("running")
    clock.pump([10] * 3)
    manager.ready("running")
    clock.pump([10] * 3)
    assert signs(notifications) == 7
    assert manager.environment == {"NOTIFY_SOCKET": notifications.path, "WATCHDOG_USEC": "30000000"}


def test_the_process_that_has_given_its_place_away_is_silent(notifications: Notifications) -> None:
    clock = Clock()
    manager, _ = taken(notifications, clock, WATCHDOG_USEC="3000000")
    manager.ready("running")
    manager.succeeded_by(7)
    heard = signs(notifications)
    clock.pump([1] * 10)
    assert signs(notifications) == heard and not clock.getDelayedCalls()


@pytest.mark.parametrize(
    "told", [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"}]
)
def test_it_hears_none_where_it_does_not_watch_this_process(notifications: Notifications, told: dict[str, str]) -> None:
    clock = Clock()
    manager, _ = taken(notifications, clock, **told)
    manager.ready("running")
    assert signs(notifications) == 0 and not clock.getDelayedCalls()
