"""SIGTERM at every moment, with a server that fails just before: nothing is open or about to happen afterwards."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred

from redisproxy.control.errors import SHUTTING_DOWN
from redisproxy.control.operations import Operations
from tests.simulation.clients import Command
from tests.simulation.history import Violation
from tests.simulation.planted import FOUND_AT_A_STOP, planted
from tests.simulation.redis import Server
from tests.simulation.world import World

SEED = 14
LATER = (0, 1, 4, 20, 26, 38)
"""So many events after the fault the proxy is stopped."""


CLIENTS: dict[str, list[Command]] = {
    "plain": [["SELECT", 1], ["INCR", "1:cnt"]],
    "watching": [["WATCH", "0:a"]],
    "queueing": [["WATCH", "0:b"], ["MULTI"], ["SET", "0:b", "x"]],
    "blocked": [["BLPOP", "0:lst", 0]],
}
"""What clients have at the server, and what is carried over in a switchover."""


def hang(server: Server) -> None:
    server.hang(60)


def crash(server: Server) -> None:
    server.crash(60)


def crash_for_a_moment(server: Server) -> None:
    server.crash(0.01)


def cut_off(server: Server) -> None:
    server.unreachable = True


FAULTS = (hang, crash, crash_for_a_moment, cut_off)


def start(world: World) -> list[object]:
    world.service.begin()
    for name, commands in CLIENTS.items():
        auth: list[Command] = [["AUTH", world.password]] if world.password else []
        world.connect(name).send(*auth, *commands)
    return []


def reload(world: World) -> list[object]:
    return told(ready(world).reload())


def switch(world: World) -> list[object]:
    operations = ready(world)
    world.write_config(world.servers[1])
    return told(operations.switchover(dry_run=False))


def ready(world: World) -> Operations:
    start(world)
    world.clock.run_until(world.clock.seconds() + 0.5)
    return world.operations


def told(answer: Deferred[dict[str, object]]) -> list[object]:
    """Has the answer in it once it is there; an error as its text."""
    answers: list[object] = []
    answer.addCallbacks(answers.append, lambda failure: answers.append(failure.getErrorMessage()))
    return answers


def events(world: World, count: int) -> None:
    """Let so many events happen."""
    last = world.clock.events + count
    world.clock.run_until(world.clock.seconds() + 60, lambda: world.clock.events >= last)


Work = Callable[[World], list[object]]
CASES: list[tuple[Work, int, int]] = [(start, 75, 0), (reload, 40, 0), (switch, 150, 0), (switch, 150, 1)]
"""What goes on, for how many events, and which server fails."""


def stop_at_every_moment(fault: Callable[[Server], None], work: Work, moments: int, at: int) -> None:
    for moment in range(0, moments, 1 + moments // 20):
        for later in LATER:
            world = World(SEED)
            with world.watched():
                work(world)
                events(world, moment)
                fault(world.servers[at])
                events(world, later)
                world.stop()


@pytest.mark.one_twin
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("work", "moments", "at"), CASES)
def test_nothing_goes_on_after_the_stop(fault: Callable[[Server], None], work: Work, moments: int, at: int) -> None:
    stop_at_every_moment(fault, work, moments, at)


@pytest.mark.one_twin
@pytest.mark.parametrize("bug", FOUND_AT_A_STOP)
def test_a_bug_that_hardly_any_seed_finds_is_found(bug: str) -> None:
    with planted(bug), pytest.raises(Violation):
        for fault in FAULTS:
            for case in CASES:
                stop_at_every_moment(fault, *case)


def test_a_reload_that_the_stop_cuts_short_says_so_wherever_it_is() -> None:
    cut_short = 0
    for moment in range(20):
        world = World(SEED)
        with world.watched():
            answers = reload(world)
            events(world, moment)
            was_over = bool(answers)
            world.stop()
            assert was_over or answers == [SHUTTING_DOWN]
            cut_short += not was_over
    assert cut_short > 5
