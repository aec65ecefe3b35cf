"""The rounds: each injects one kind of fault, and says what clients may have seen of it."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.chaos.copies import copy, trouble_at_copy
from tests.chaos.incidents import DROPPED
from tests.chaos.moves import disturbed, stop_for_a_while, undisturbed
from tests.chaos.outcome import ANYTHING, NOTHING, Outcome, held_too_long, said
from tests.chaos.relay import Weather
from tests.chaos.successions import killed_control, killed_in_a_switchover, trouble_in_an_upgrade, upgraded
from tests.chaos.world import Server, World
from tests.end_to_end.harness import wait_until

OF_LOST_WORKERS = frozenset({*ANYTHING, DROPPED})
STEPS = ("preflight", "replicate", "catch up", "connect", "drain", "fence", "verify", "promote")


Round = Callable[[World, random.Random], Outcome]


# -- the server in use, or the way to it


def rain(world: World, chance: random.Random) -> Outcome:
    """Latency, jitter and data in small pieces on the way to the server."""
    weather = Weather(chance.uniform(0, 0.03), chance.uniform(0, 0.03), chance.choice([0, 1, 3, 17]))
    world.current.relay.set(weather)
    time.sleep(chance.uniform(0.5, 1.5))
    world.current.relay.clear()
    return Outcome(f"{weather.delay_s * 1000:.0f} ms, pieces of {weather.chunk_bytes}")


def short_freeze(world: World, chance: random.Random) -> Outcome:
    """The server is stopped for less than any limit."""
    return _freeze(world, chance.uniform(0.1, 0.4), NOTHING)


def long_freeze(world: World, chance: random.Random) -> Outcome:
    """The server is stopped for longer than commands and pings may take."""
    return _freeze(world, chance.uniform(1.5, 4), ANYTHING)


def _freeze(world: World, took_s: float, allowed: frozenset[str]) -> Outcome:
    world.current.stop()
    time.sleep(took_s)
    world.current.go_on()
    return Outcome(f"{took_s:.1f} s", allowed)


def crash(world: World, chance: random.Random) -> Outcome:
    """The server is killed, and comes back with everything that it has acknowledged."""
    if not _settled(world.current):
        return Outcome("not now: its AOF is not complete yet")
    world.current.kill()
    took_s = chance.uniform(0, 3.5)
    time.sleep(took_s)
    world.current.redis.start()
    return Outcome(f"{took_s:.1f} s", ANYTHING)


def _settled(server: Server) -> bool:
    until = time.monotonic() + 2
    while time.monotonic() < until:
        if server.settled():
            return True
        time.sleep(0.05)
    return False


def cut_off(world: World, chance: random.Random) -> Outcome:
    """Connections to the server are reset, half-closed, or cut in the middle of a reply."""
    relay, how = world.current.relay, chance.choice(["reset", "half-close", "cut in a reply", "refuse"])
    for _ in range(chance.randint(1, 4)):
        if how == "reset":
            relay.reset()
        elif how == "half-close":
            relay.half_close()
        elif how == "cut in a reply":
            relay.set(Weather(cut_after_bytes=chance.randint(1, 20)))
        else:
            relay.set(Weather(refuse=True))
            relay.reset()
        time.sleep(chance.uniform(0.05, 0.5))
        relay.clear()
    return Outcome(how, ANYTHING)


def silence(world: World, chance: random.Random) -> Outcome:
    """Nothing passes any more on the way to the server, though connections stay open."""
    how = chance.choice(["stall", "blackhole"])
    world.current.relay.set(Weather(stall=how == "stall", blackhole=how == "blackhole"))
    took_s = chance.uniform(0.5, 4)
    time.sleep(took_s)
    world.current.relay.clear()
    return Outcome(f"{how}, {took_s:.1f} s", ANYTHING)


# -- the operator


def orders(world: World, chance: random.Random) -> Outcome:
    """Pauses, reloads and SIGHUPs, one upon the other."""
    problems = []
    for _ in range(chance.randint(2, 6)):
        order = chance.choice(["pause", "pause-and-wait", "unpause", "reload", "hup"])
        if order == "hup":
            world.proxy.hup()
        else:
            status, answer = world.proxy.admin(order)
            if status not in (200, 409):
                problems.append(f"{order} answered {status}: {answer.get('error')}")
        time.sleep(chance.uniform(0, 0.3))
    world.proxy.do("unpause")
    return Outcome("", problems=problems)


def paused_crash(world: World, chance: random.Random) -> Outcome:
    """The server fails while all clients are held: nothing is in flight, so nobody may notice."""
    world.proxy.do("pause-and-wait")
    how = chance.choice(["reset", "crash", "freeze"])
    if how == "crash" and _settled(world.current):
        world.current.kill()
        time.sleep(chance.uniform(0, 0.5))
        world.current.redis.start()
    elif how == "freeze":
        world.current.stop()
        time.sleep(chance.uniform(0, 3))
        world.current.go_on()
    else:
        world.current.relay.reset()
        time.sleep(0.3)  # what is sent before the proxy has seen the reset is lost like anywhere
    world.proxy.do("unpause")
    return Outcome(how)


# -- switchovers


def move(world: World, chance: random.Random) -> Outcome:
    """A switchover with nothing in its way but the clients, and perhaps a SIGHUP meanwhile."""
    world.prepare_other()
    if chance.random() < 0.5:
        threading.Thread(target=_hang_up_in_the_middle, args=(world,)).start()
    return undisturbed(world.switchover, "switchover")


def _hang_up_in_the_middle(world: World) -> None:
    if world.wait_for_step("catch up", 1):
        world.proxy.hup()


def full_disk(world: World, chance: random.Random) -> Outcome:
    """The new server can't write to its disk: it goes on without an AOF, or it ends."""
    world.empty_other()
    other = world.other
    survives = chance.random() < 0.5
    other.ask().config_set("appendonly", "no" if survives else "yes")
    other.fill_disk(True)
    answer = world.switchover()
    problems = [] if not answer["ok"] and answer["error"] else ["a switchover to a server with a full disk succeeded"]
    if not other.running:
        other.wipe()
    other.heal()
    other.ask().config_set("appendonly", "yes")
    return Outcome(said(answer), problems=problems)


def trouble_at_new(world: World, chance: random.Random) -> Outcome:
    """The new server fails during a switchover. Clients may notice only once they are on it."""
    new = world.other
    faults = {
        "stop": lambda: stop_for_a_while(new, chance),
        "kill": lambda: _kill_before_it_is_used(world, new),
        "reset": new.relay.reset,
        "silence": lambda: new.relay.set(Weather(stall=True)),
        "cut": lambda: new.relay.set(Weather(cut_after_bytes=chance.randint(1, 60))),
        "reset of replication": world.current.replication.reset,
        "silence in replication": lambda: world.current.replication.set(Weather(blackhole=True)),
    }
    name = chance.choice(sorted(faults))
    step, answer = _switch_with(world, chance, faults[name])
    text = f"{name} at {step}: {said(answer)}"
    return Outcome(text, ANYTHING if answer["ok"] else NOTHING, held_too_long(answer), answer["ok"])


def trouble_at_old(world: World, chance: random.Random) -> Outcome:
    """The old server fails in the middle of a switchover."""
    old = world.current
    faults: dict[str, Callable[[], Any]] = {
        "stop": lambda: stop_for_a_while(old, chance),
        "reset": old.relay.reset,
        "silence": lambda: old.relay.set(Weather(stall=True)),
    }
    if _settled(old):
        faults["kill"] = old.kill
    name = chance.choice(sorted(faults))
    step, answer = _switch_with(world, chance, faults[name])
    return Outcome(f"{name} at {step}: {said(answer)}", ANYTHING, moved=answer["ok"])


def _switch_with(world: World, chance: random.Random, fault: Callable[[], Any]) -> tuple[str, dict[str, Any]]:
    """Switch over with slow ways to both servers, and inject the fault at some step; the step and the answer."""
    world.empty_other() if chance.random() < 0.4 else world.prepare_other()
    for server in world.servers:
        server.relay.set(Weather(delay_s=0.005, jitter_s=0.01))
    return disturbed(world, chance, world.switchover, STEPS, fault, 2)


# -- workers


def lost_worker(world: World, chance: random.Random) -> Outcome:
    """Workers are killed: their clients are disconnected, and nobody else has to wait."""
    for _ in range(chance.randint(1, 3)):
        _signal_one(world, chance, signal.SIGKILL)
        time.sleep(chance.uniform(0, 1))
    _all_answer(world)
    return Outcome("", OF_LOST_WORKERS)


def stopped_worker(world: World, chance: random.Random) -> Outcome:
    """A worker does nothing for a while; one that does not answer for five seconds is ended, and replaced."""
    took_s = chance.choice([0.3, 2.0, 7.0])
    _stop_one(world, chance, took_s)
    _all_answer(world)
    return Outcome(f"{took_s} s", NOTHING if took_s < 1 else OF_LOST_WORKERS)


def trouble_at_worker(world: World, chance: random.Random) -> Outcome:
    """A worker is killed or stopped in the middle of a switchover, which is done or undone for all others."""
    faults: dict[str, Callable[[], Any]] = {
        "kill": lambda: _signal_one(world, chance, signal.SIGKILL),
        "stop": lambda: _stop_one(world, chance, chance.uniform(0.1, 6)),
    }
    name = chance.choice(sorted(faults))
    step, answer = _switch_with(world, chance, faults[name])
    _all_answer(world)
    return Outcome(f"{name} at {step}: {said(answer)}", OF_LOST_WORKERS, moved=answer["ok"])


def _signal_one(world: World, chance: random.Random, number: int) -> int:
    workers = world.workers()
    if not workers:
        return 0
    pid = chance.choice(workers)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    return pid


def _stop_one(world: World, chance: random.Random, seconds: float) -> None:
    pid = _signal_one(world, chance, signal.SIGSTOP)
    world.stopped_until = time.monotonic() + seconds
    time.sleep(seconds)
    if pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _all_answer(world: World) -> None:
    count = world.proxy.config["workers"]
    wait_until(lambda: len(world.serving()) == count, "all workers answer", 30)


def _kill_before_it_is_used(world: World, new: Server) -> None:
    """Kill it, unless clients may have written there: its AOF is not complete then, and Redis would lose the writes.

    Stopped, it can't be promoted; when it still is not after a while, nobody uses it.
    """
    new.stop()
    time.sleep(0.3)
    if world.step() in STEPS:
        new.kill()
    else:
        new.go_on()


GENTLE: list[Round] = [rain, short_freeze, orders, paused_crash, move, full_disk, trouble_at_new, copy]
ROUGH: list[Round] = [long_freeze, crash, cut_off, silence, trouble_at_old, trouble_at_copy]
OF_WORKERS: list[Round] = [
    lost_worker, stopped_worker, trouble_at_worker, trouble_at_worker, killed_control, killed_in_a_switchover,
]  # fmt: skip
SUCCESSIONS: list[Round] = [upgraded, trouble_in_an_upgrade, trouble_in_an_upgrade]
SHORT: list[Round] = [rain, cut_off, move, copy, crash, paused_crash, orders]
SHORT_OF_WORKERS: list[Round] = [
    lost_worker, killed_in_a_switchover, trouble_in_an_upgrade, trouble_at_worker, trouble_at_copy, orders,
]  # fmt: skip
WARM_UP: list[Round] = [rain, move, cut_off, copy, move]


def more(workers: int) -> list[Round]:
    """The rounds of a proxy with so many workers, beside those of every one."""
    return [*SUCCESSIONS, *OF_WORKERS] if workers > 1 else SUCCESSIONS


def program(chance: random.Random, more: list[Round]) -> Iterator[Round]:
    """All rounds in random order, again and again."""
    while True:
        deck = [
            *GENTLE,
            *ROUGH,
            move,
            trouble_at_copy,
            trouble_at_new,
            trouble_at_new,
            trouble_at_old,
            trouble_at_old,
            *more,
        ]
        chance.shuffle(deck)
        yield from deck


@contextmanager
def meddling(world: World, chance: random.Random) -> Iterator[None]:
    """Have an operator give orders at any time until the end of the context."""
    over = threading.Event()

    def meddle() -> None:
        while not over.wait(chance.uniform(0.1, 1.0)):
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                order = chance.choice(["pause", "unpause", "reload"])
                world.reload() if order == "reload" else world.proxy.admin(order)
                over.wait(chance.uniform(0, 0.4))
                world.proxy.admin("unpause")

    meddler = threading.Thread(target=meddle, daemon=True)
    meddler.start()
    try:
        yield
    finally:
        over.set()
        meddler.join(60)
