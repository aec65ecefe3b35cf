"""Rounds in which the process in charge is killed, or gives its place to another one, with faults at either of the two.

Nobody is disconnected but who is at a process that is killed.
"""

from __future__ import annotations

import math
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.chaos.incidents import DROPPED
from tests.chaos.outcome import ANYTHING, Outcome
from tests.chaos.world import World
from tests.end_to_end.harness import wait_until

AT_A_KILLED_ONE = frozenset({*ANYTHING, DROPPED})
GONE_S = (0.0, 0.2, 1.0)
"""How long nobody is in charge."""


def killed_control(world: World, chance: random.Random) -> Outcome:
    """The control process is killed; workers go on, and the next one finds them."""
    world.stopped_until = math.inf
    world.proxy.end(world.proxy.pid)
    time.sleep(chance.choice(GONE_S))
    _again(world)
    return Outcome("")


def killed_in_a_switchover(world: World, chance: random.Random) -> Outcome:
    """The same in the middle of a switchover, which the workers end as the servers tell."""
    world.prepare_other()
    answers: list[dict[str, Any]] = []
    moving = threading.Thread(target=lambda: answers.append(world.switchover()))
    moving.start()
    time.sleep(chance.uniform(0, 0.6))
    step = _step(world)
    world.stopped_until = math.inf
    world.proxy.end(world.proxy.pid)
    moving.join(60)
    time.sleep(chance.choice(GONE_S))
    _again(world)
    world.find_out()
    return Outcome(f"at {step or 'no step'}, the clients are at {world.current.name}", ANYTHING)


def upgraded(world: World, chance: random.Random) -> Outcome:
    """An upgrade, of which nobody notices anything."""
    answer = world.proxy.do("upgrade")
    _again(world)
    return Outcome(f"{answer['clients']} clients in {answer['hand_over_ms']} ms, {answer['stayed']} stay")


def trouble_in_an_upgrade(world: World, chance: random.Random) -> Outcome:
    """The old or the new process is killed or stopped in the middle of an upgrade."""
    before = set(world.proxy.processes())
    old, said = world.proxy.pid, list[str]()
    upgrading = threading.Thread(target=lambda: said.append(_upgrade(world)))
    upgrading.start()
    whom = chance.choice(("old", "new", "new"))
    deed = chance.choice(("kill", "kill", "stop"))
    if whom == "new":
        with suppress(AssertionError):
            wait_until(lambda: set(world.proxy.processes()) - before, "there is a new one", 20)
    time.sleep(chance.uniform(0, 1.5))
    others = [pid for pid in world.proxy.processes() if pid not in before]
    victim = old if whom == "old" else next(iter(others), 0)
    world.stopped_until = math.inf
    _DEEDS[deed](world, chance, victim)
    upgrading.join(90)
    _again(world)
    return Outcome(f"{deed} the {whom} one: {said[0][:60] if said else 'no answer'}", AT_A_KILLED_ONE)


def _kill(world: World, chance: random.Random, pid: int) -> None:
    if pid:
        world.proxy.end(pid)


def _stop(world: World, chance: random.Random, pid: int) -> None:
    if not pid:
        return
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(chance.choice((0.3, 2.0, 7.0)))
        os.kill(pid, signal.SIGCONT)


_DEEDS: dict[str, Callable[[World, random.Random, int], None]] = {"kill": _kill, "stop": _stop}


def _upgrade(world: World) -> str:
    try:
        status, answer = world.proxy.admin("upgrade")
    except (OSError, ValueError) as error:
        return f"no answer: {error!r}"
    return "done" if status == 200 else str(answer.get("error"))


def _step(world: World) -> str:
    with suppress(OSError, ValueError):
        return world.step()
    return ""


def _again(world: World) -> None:
    """A process is in charge, and drives all that there are to be."""
    world.proxy.again()
    count = world.proxy.config["workers"]
    if count > 1:
        wait_until(lambda: _workers(world) >= count, "all workers answer", 60)
    world.stopped_until = time.monotonic()


def _workers(world: World) -> int:
    with suppress(OSError, ValueError):
        return len(world.serving())
    return 0
