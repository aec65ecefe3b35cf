"""Managed services: hooks of switchovers, as programs that do to the model servers what a service's API does.

A program may fail, before it has done anything or after, hang, say that it has done what it has not, promote what has
lost its data; and a service may promote only after its program was killed.
"""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from redisproxy.net.program import Ended
from tests.simulation.copying import copies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulation.redis import Server
    from tests.simulation.world import World

SHARE = 0.2
PROGRAM = "true"
"""The configuration wants one that is there; nobody runs it."""
GOOD = "works"
WELL = {"replicate": 0.85, "promote": 0.4}
"""How often a program of this step works; others mostly do."""
LATE_S = 3.0
BAD = ("fails before", "fails after", "hangs before", "hangs after", "lies", "loses the data", "acts late")
NO_HISTORY = "0" * 40


def serves(seed: int) -> bool:
    """Whether the switchovers of this run have hooks."""
    return not copies(seed) and Random(f"{seed} services").random() < SHARE


def hooks_of(seed: int) -> dict[str, Any]:
    """The settings of switchovers for that, beside the others."""
    if not serves(seed):
        return {}
    chance = Random(f"{seed} hooks")
    named = chance.choice((("replicate", "promote", "undo"), ("replicate", "promote", "undo", "done"), ("promote",)))
    limit_ms = chance.choice((50, 500, 5000))
    return {"hooks": {name: {"command": [PROGRAM, name], "limit_ms": limit_ms} for name in named}}


class Services:
    """Runs the programs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = Random(f"{world.seed} programs")

    def run(self, command: Sequence[str], limit_s: float, stdin: bytes, max_output: int) -> Deferred[Ended]:
        """In the place of L{redisproxy.net.program.run}."""
        asked = json.loads(stdin)
        how = GOOD if self.chance.random() < WELL.get(asked["step"], 0.7) else self.chance.choice(BAD)
        self.world.note("service", f"{asked['step']} at {asked['new']['address']}: {how}")
        running = _Program(self, asked, how, limit_s)
        return running.ended

    def act(self, asked: dict[str, Any], how: str) -> bool:
        """Do what a program has asked for; whether the server could be told."""
        new: Server = self.world.net.hosts[asked["new"]["address"]]
        if new.down:
            return False
        if asked["step"] == "replicate":
            new.follow(asked["source"]["host"], asked["source"]["port"])
        elif asked["step"] in ("promote", "undo"):
            new.promote()
            if how == "loses the data" and asked["step"] == "promote":
                new.dbs = [{} for _ in new.dbs]
                new.repl.replid2 = NO_HISTORY
        return True


class _Program:
    """One program that runs. Killed, it does nothing more."""

    def __init__(self, services: Services, asked: dict[str, Any], how: str, limit_s: float) -> None:
        self.ended: Deferred[Ended] = Deferred(lambda _: self._over())
        self._services, self._asked, self._how = services, asked, how
        self._killed = False
        clock, took_s = services.world.clock, services.chance.choice((0.0, 0.01, 0.1)) * services.chance.random()
        clock.at(took_s, self._work)
        clock.at(limit_s, self._end, Ended("signal 9", True, b"", False, b""))
        if how == "acts late" and asked["step"] == "promote":
            clock.at(took_s + LATE_S * services.chance.random(), services.act, asked, how)

    def _over(self) -> None:
        self._killed = True

    def _work(self) -> None:
        how = self._how
        if self._killed or how in ("hangs before", "acts late"):
            return
        done = how in ("fails before", "lies") or self._services.act(self._asked, how)
        if how != "hangs after":
            failed = how in ("fails before", "fails after") or not done
            self._end(Ended("exit code 1" if failed else "", False, b"", False, b""))

    def _end(self, ended: Ended) -> None:
        if not self._killed:
            self._killed = True
            self.ended.callback(ended)
