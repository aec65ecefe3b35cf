"""Switchovers in rounds: with nothing in their way, or with a fault at some step of them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.chaos.outcome import TOO_LONG, Outcome, held_too_long, said
from tests.chaos.world import Server, World

Switch = Callable[[], dict[str, Any]]


def undisturbed(switch: Switch, what: str) -> Outcome:
    """It has to be done, unless the clients would have had to wait for too long."""
    answer = switch()
    problems = held_too_long(answer)
    if not answer["ok"] and TOO_LONG not in answer["error"]:
        problems.append(f"the {what} failed: {answer['error']}")
    return Outcome(said(answer), problems=problems, moved=answer["ok"])


def disturbed(
    world: World,
    chance: random.Random,
    switch: Switch,
    steps: Sequence[str],
    fault: Callable[[], Any],
    longest_s: float,
) -> tuple[str, dict[str, Any]]:
    """Inject the fault at one of the steps, and mend the servers after at most `longest_s`; the step and the answer."""
    answers: list[dict[str, Any]] = []
    moving = threading.Thread(target=lambda: answers.append(switch()))
    moving.start()
    step = chance.choice(steps)
    at = step if world.wait_for_step(step, 3) else f"after {step}"
    fault()
    time.sleep(chance.uniform(0, longest_s))
    for server in world.servers:
        server.heal()
    moving.join(60)
    return at, answers[0] if answers else {"ok": False, "error": "no answer within 60 s"}


def stop_for_a_while(server: Server, chance: random.Random) -> None:
    """A server does nothing for some seconds."""
    server.stop()
    time.sleep(chance.uniform(0.1, 3))
    server.go_on()
