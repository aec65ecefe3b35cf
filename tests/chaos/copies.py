"""Rounds of chaos with switchovers that copy: nothing in their way, or one of everything that they need fails."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from tests.chaos.moves import disturbed, stop_for_a_while, undisturbed
from tests.chaos.outcome import ANYTHING, NOTHING, Outcome, held_too_long, said
from tests.chaos.relay import Weather
from tests.chaos.world import Server, World

STEPS = ("preflight", "copy", "copy", "connect", "drain", "fence", "rest", "verify", "finish")
VERIFY = ("counts", "sample", "all")


def copy(world: World, chance: random.Random) -> Outcome:
    """A switchover that copies, with nothing in its way but the clients."""
    world.empty_other()
    return undisturbed(lambda: _switch(world, chance), "copy")


def trouble_at_copy(world: World, chance: random.Random) -> Outcome:
    """Something fails in the middle of a switchover that copies; it is done or undone."""
    world.empty_other()
    old, new = world.current, world.other
    faults: dict[str, tuple[Callable[[], Any], frozenset[str]]] = {
        "kill of the process that copies": (lambda: _kill_copier(world), NOTHING),
        "kill of the feed, again and again": (lambda: _kill_feeds(old, chance.uniform(0.2, 1.5)), NOTHING),
        "reset at the new server": (new.relay.reset, NOTHING),
        "silence at the new server": (lambda: new.relay.set(Weather(stall=True)), NOTHING),
        "cut at the new server": (lambda: new.relay.set(Weather(cut_after_bytes=chance.randint(1, 60))), NOTHING),
        "stop of the new server": (lambda: stop_for_a_while(new, chance), NOTHING),
        "reset at the old server": (old.relay.reset, ANYTHING),
        "stop of the old server": (lambda: stop_for_a_while(old, chance), ANYTHING),
    }
    name = chance.choice(sorted(faults))
    fault, allowed = faults[name]
    at, answer = disturbed(world, chance, lambda: _switch(world, chance), STEPS, fault, 1)
    if answer["ok"]:
        allowed = ANYTHING  # clients are on the new server by now
    return Outcome(f"{name} at {at}: {said(answer)}", allowed, held_too_long(answer), answer["ok"])


def _switch(world: World, chance: random.Random) -> dict[str, Any]:
    return world.switchover({"mode": "copy", "replace_data": True, "verify": chance.choice(VERIFY)})


def _kill_copier(world: World) -> None:
    children = Path(f"/proc/{world.proxy.process.pid}/task/{world.proxy.process.pid}/children")
    for pid in children.read_text().split():
        with contextlib.suppress(OSError):
            if b"redisproxy-copy" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(int(pid), signal.SIGKILL)


def _kill_feeds(server: Server, seconds: float) -> None:
    """Kill what is told of changes by CLIENT TRACKING: nobody but the copy is."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for each in server.ask().client_list():
            if "t" in each["flags"]:
                with contextlib.suppress(redis.ResponseError):
                    server.ask().client_kill_filter(_id=each["id"])
        time.sleep(0.02)
