"""What rounds of all kinds do while a switchover runs: they wait for some step of it, and break something."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.chaos.world import Server, World


def broken_at(
    world: World,
    chance: random.Random,
    steps: Sequence[str],
    switch: Callable[[], dict[str, Any]],
    fault: Callable[[], Any],
    goes_on_s: float,
) -> tuple[str, dict[str, Any]]:
    """Switch over, inject the fault at some step, and heal the servers up to so many seconds later; where it was, and
    the answer."""
    answers: list[dict[str, Any]] = []
    moving = threading.Thread(target=lambda: answers.append(switch()))
    moving.start()
    step = chance.choice(steps)
    at = step if world.wait_for_step(step, 3) else f"after {step}"
    fault()
    time.sleep(chance.uniform(0, goes_on_s))
    for server in world.servers:
        server.heal()
    moving.join(60)
    return at, answers[0] if answers else {"ok": False, "error": "no answer within 60 s"}


def stop_for_a_while(server: Server, chance: random.Random) -> None:
    """SIGSTOP, and SIGCONT up to three seconds later."""
    server.stop()
    time.sleep(chance.uniform(0.1, 3))
    server.go_on()
