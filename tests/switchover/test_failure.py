"""Why a switchover failed, in words for an operator."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, TimeoutError

from redisproxy.dataplane.interface import ClientInFlight, DataPlaneLost
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.switchover.failure import SwitchoverFailed, explain

TOOK_MS = {"connect": 9.0, "drain": 700.4, "fence": 12.0, "verify": 99.9}
STEPS = [{"name": name, "ms": ms} for name, ms in TOOK_MS.items()]


def explained(error: BaseException, step: str = "verify", stuck: tuple[ClientInFlight, ...] = ()) -> str:
    return explain(error, {"step": step, "steps": STEPS}, 1000, stuck)


def test_a_pause_that_became_too_long_names_the_setting_and_what_took_the_time() -> None:
    assert explained(TimeoutError(1)) == (
        "the pause would have become longer than 1000 ms (switchover.pause_budget_ms) at the step verify"
        " (connect 9 ms, drain 700 ms, fence 12 ms, verify 100 ms)"
    )


def test_a_drain_that_took_too_long_names_the_clients_five_at_the_most() -> None:
    stuck = tuple(ClientInFlight(number, f"10.0.0.{number}:1", "", "", 1, 0.5) for number in range(1, 8))
    first = ClientInFlight(9, "10.0.0.9:1", "app", "debug", 1, 0.5)
    text = explained(TimeoutError(1), "drain", (first, *stuck))
    assert "(switchover.pause_budget_ms): 8 clients had commands in flight: debug of client 9 (10.0.0.9:1)" in text
    assert text.count("a command of client") == 4
    assert "(10.0.0.9:1) named 'app', a command" in text and text.endswith("(10.0.0.4:1), and 3 more")


def test_one_client_that_kept_a_drain_is_one() -> None:
    stuck = (ClientInFlight(9, "10.0.0.9:1", "", "debug", 1, 0.5),)
    assert explained(TimeoutError(1), "drain", stuck).endswith(
        ": 1 client had commands in flight: debug of client 9 (10.0.0.9:1)"
    )


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (CancelledError(), "stopped while at: verify"),
        (SwitchoverFailed("no"), "no"),
        (UplinkUnavailable("the new server: gone"), "the new server: gone"),
        (DataPlaneLost("a worker is gone"), "a worker is gone"),
        (KeyError("x"), "internal error while at: verify; see the log"),
    ],
)
def test_every_other_error_has_its_text(error: BaseException, text: str) -> None:
    assert explained(error) == text
