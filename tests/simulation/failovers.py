"""Plays one simulated run with sentinels: an operator has one proxy, or a fleet, fail over, again and again.

Servers hang or can't be reached, sentinels die with the failover that they carry out, proxies stand still, die, or are
cut off from each other. Whatever happens, no acknowledged write is lost, no client is dropped that waits for nothing,
and in the end all proxies are at the one primary that the sentinels name. Where nothing fails, no client sees an error.
"""

from __future__ import annotations

import gc
import json
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.fleet import FleetWorld
from tests.simulation.fleet_fate import LASTS_S, FleetFate
from tests.simulation.fleet_operator import FleetOperator, result_of
from tests.simulation.sentinel import NAME, Sentinels

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.clients import Wire
    from tests.simulation.fleet_proxy import FleetProxy
    from tests.simulation.outcome import Outcome
    from tests.simulation.redis import Server

SYNCED_S = 3.0
SETTLES_S = 60.0
UNFENCED_S = 25.0
"""A fence that is left after so long is the operator's to lift."""


class FailoverWorld(FleetWorld):
    """As a fleet, but of one to three proxies, which follow sentinels.

    @ivar group: the sentinels.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        chance = Random(f"{seed} sentinels")
        count = chance.choice((1, 1, 2, 3))
        del self.proxies[count:], self.peers[count:]
        self.group = Sentinels(self.clock, self.servers, chance)
        self.group.tick_s = chance.choice((0.02, 0.02, 0.1, 2.0))
        self.settings["switchover"]["pause_budget_ms"] = chance.choice((300, 1000, 2000))
        for server in self.servers:
            server.lag = chance.choice((0.0, 0.02, 0.2))
        self.net.hosts |= {each.name: each for each in self.group.sentinels}
        self.fate = FailoverFate(self)
        self.operator = FailoverOperator(self)
        for server in self.servers[1:]:
            server.follow("10.0.0.1", 6379)
        self.clock.run_until(self.clock.seconds() + SYNCED_S)

    def write_config(self, number: int, server: Server) -> None:
        """The file names the sentinels, and no server."""
        told = {"sentinels": [each.name for each in self.group.sentinels], "master_name": NAME}
        uplink = {**told, "sentinel_timeout_ms": 300, "sentinel_poll_ms": 1000, **self.settings["uplink"]}
        switchover = {"pause_budget_ms": self.settings["switchover"]["pause_budget_ms"]}
        document = {**self.settings, "uplink": uplink, "switchover": switchover}
        if len(self.peers) > 1:
            document["fleet"] = self.fleet_section(number)
        with open(self.path(number), "w", encoding="utf-8") as file:
            json.dump(document, file)

    def judge_error(self, wire: Wire, error: str) -> None:
        """A fence stays for as long as a sentinel may promote somebody, or until the operator lifts it."""

    def ready(self) -> bool:
        found = all(each.has_found for each in self.proxies)
        return found and (len(self.proxies) == 1 or super().ready())

    @property
    def primary(self) -> Server | None:
        """The server that is one, and that all sentinels take for one."""
        found = {server for server in self.servers if server.repl.primary is None}
        named = {each.primary for each in self.group.sentinels}
        return next(iter(found)) if len(found) == 1 and found == named else None


class FailoverFate(FleetFate):
    """At any time it kills nobody but sentinels, at orders also proxies; who dies behind its fence leaves it to the
    operator."""

    world: FailoverWorld
    orders = (
        "Claim",
        "PrepareFailover",
        "HoldGate",
        "Drained",
        "ProveWatches",
        "GoToPromoted",
        "ReleaseGate",
        "Dismiss",
    )

    async def run(self, count: int) -> None:
        deeds: list[Callable[[FleetProxy], None]] = [self.stop, self.part_from_server]
        deeds += [self.crash_sentinel, self.crash_sentinel]
        if len(self.world.proxies) > 1:
            deeds += [self.part, self.cut]
        for _ in range(count):
            await self.world.sleep(self.chance.random() * 0.8)
            if self.world.ending:
                return
            if self.chance.random() < 0.3:
                self.server()
            else:
                self.chance.choice(deeds)(self.chance.choice(self.world.proxies))

    def crash_sentinel(self, victim: FleetProxy, when: str = "") -> None:
        """One dies, with the failover that it carries out, and comes back."""
        sentinel = self.chance.choice(self.world.group.sentinels)
        if not sentinel.down:
            self._note(f"sentinel {sentinel.name} dies")
            sentinel.crash(self.chance.choice(LASTS_S))


class FailoverOperator(FleetOperator):
    """Asks for failovers, and reloads."""

    world: FailoverWorld

    async def run(self, operations: int) -> None:
        for _ in range(operations):
            await self.world.sleep(self.chance.random() * 0.6)
            if self.world.ending:
                return
            await self.chance.choice([self.reload, self.failover, self.failover, self.failover])()

    async def failover(self) -> None:
        """Have the sentinels promote a replica."""
        proxy = self.chance.choice(self.world.proxies)
        dry = self.chance.random() < 0.1
        self._perhaps_abort()
        result = await self._asked(proxy, "failover", lambda each: each.failover(dry))
        self.done += result_of(result) == "done"

    def find_out(self) -> None:
        """The sentinels say it."""

    async def put_together(self) -> None:
        """All find to the primary by themselves; a fence that nobody lifts any more is lifted."""
        world, waited = self.world, 0.0
        while not self._agreed():
            if waited > SETTLES_S or world.violation:
                where = [f"{each} on {each.place} ({each.gate.reasons}, {each.running})" for each in world.proxies]
                named = [each.primary.name for each in world.group.sentinels]
                found = [each.name for each in world.servers if each.repl.primary is None]
                world.fail(f"{', '.join(where)}: the sentinels name {named}, primaries are {found}")
            if waited > UNFENCED_S and (primary := world.primary) is not None:
                primary.config["min-replicas-to-write"] = "0"
            await world.sleep(0.5)
            waited += 0.5

    def _agreed(self) -> bool:
        world = self.world
        if (primary := world.primary) is None or primary.config["min-replicas-to-write"] != "0":
            return False
        world.current = primary
        found = all(each.alive and each.has_found for each in world.proxies)
        settled = not any(each.gate.reasons or each.gate.in_flight or each.running for each in world.proxies)
        return found and settled and all(each.server is primary for each in world.proxies)


def run_failovers(seed: int) -> Outcome:
    """Play one seed."""
    outcome = FailoverWorld(seed).play()
    gc.collect()  # what was given up in the middle must not disturb the next one
    return outcome
