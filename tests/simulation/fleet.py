"""Plays one simulated run of a fleet: two to four proxies as processes of their own, their clients, servers, operator.

Proxies are killed, stopped, and cut off from each other and from the servers: at any time, and at every order of an
operation. Whatever happens, no acknowledged write is lost, nobody goes on at a server that the others have left, and
in the end all are at the same one, with nothing held or claimed.
"""

from __future__ import annotations

import gc
import json
import os
import random
from random import Random
from typing import Any

from twisted.internet.defer import ensureDeferred

from redisproxy import config
from redisproxy.dataplane.interface import SWITCHOVER
from redisproxy.net import tls
from redisproxy.remote.interrupted import MARGIN_S
from tests.simulation.clients import Client, Wire
from tests.simulation.fleet_fate import FleetFate
from tests.simulation.fleet_operator import FleetOperator
from tests.simulation.fleet_proxy import FleetProxy
from tests.simulation.judged import JudgedRun
from tests.simulation.network import Nobody
from tests.simulation.outcome import Outcome
from tests.simulation.processes import Machine, Process
from tests.simulation.redis import Server
from tests.simulation.terms import conditions, settings_of

SERVERS = 3
LIMIT_S = 120.0
CONNECTED_S = 10.0
SETTLED_S = 45.0
"""After the last fault: held for a lease, the pause budget and a margin, and then a vigil."""
STOP_S = 25.0
LOOK_S = 0.02
HELD_SLACK_S = 4.0
"""Of an answer of a server that is waited for, several times."""
REPLICATING = ("pause_budget_ms", "sync_deadline_ms", "sync_stall_ms", "max_lag_ms", "keep_way_back")
"""The settings of switchovers that are drawn for fleets: data moves by replication, without programs of others."""
SECRET = "the secret of the fleet"


class _NoResets:
    active = False


class _OfEachProxy:
    """Ids of clients: each proxy gives its own."""

    def setdefault(self, number: int, wire: Wire) -> Wire:
        return wire


class FleetWorld(JudgedRun):
    """Everything of one run; for clients it is what C{world.World} is.

    @ivar proxies: in the order of their numbers. @ivar current: the server that clients should be on.
    @ivar target: of the switchover that was begun last and of which nobody knows yet where it has led.
    """

    def __init__(self, seed: int) -> None:
        random.seed(seed)
        super().__init__(seed, Random(f"{seed} fleet"), faulty=0.8)
        self.password = ""
        self.idle_resets = _NoResets()
        self.ids = _OfEachProxy()
        self.net.now = conditions(self.chance)
        self.servers = [Server(f"10.0.0.{at}:6379", self.clock, self.chance, self.find) for at in range(1, SERVERS + 1)]
        for server in self.servers:
            server.lag = self.chance.choice((0.0, 0.001, 0.02))
            server.sync_s = self.chance.choice((0.01, 0.2))
            server.no_scripts = False
            self.net.hosts[server.name] = server
        self.current = self.servers[0]
        self.target: Server | None = None
        settings = settings_of(seed, self.chance, self.faulty, "")
        settings["switchover"] = {key: settings["switchover"].get(key) for key in REPLICATING}
        self.settings = settings
        self.lease_ms = self.chance.choice((500, 1000, 2000))
        self.machine = Machine(self.clock, self.net, seed, _starts_nothing)
        count = self.chance.choice((2, 3, 3, 4))
        self.peers = [f"10.0.9.{at}:7012" for at in range(count)]
        self.blocked: dict[frozenset[str], float] = {}
        self.proxies = [FleetProxy(self, at) for at in range(count)]
        self.fate = FleetFate(self)
        self.operator = FleetOperator(self)
        self._clients: dict[str, Client] = {}
        self._of: dict[Wire, tuple[Client, FleetProxy]] = {}
        self._held_since: dict[FleetProxy, float] = {}
        self._begun = 0

    # -- what proxies, clients, operator and fate use

    def path(self, number: int) -> str:
        """Where the file of a proxy is."""
        return os.path.join(self.folder, f"{number}.json")

    def write_configs(self, server: Server, but: FleetProxy | None = None) -> None:
        """Have all files name this server."""
        for proxy in self.proxies:
            if proxy is not but:
                self.write_config(proxy.number, server)

    def write_config(self, number: int, server: Server) -> None:
        """Have one file name this server."""
        uplink, fleet = {"addr": server.name, **self.settings["uplink"]}, self.fleet_section(number)
        with open(self.path(number), "w", encoding="utf-8") as file:
            json.dump({**self.settings, "uplink": uplink, "fleet": fleet}, file)

    def fleet_section(self, number: int) -> dict[str, Any]:
        """That of one file."""
        listen = {"addr": self.peers[number]}
        return {"listen": listen, "peers": self.peers, "secret": SECRET, "lease_ms": self.lease_ms}

    def load(self, number: int) -> config.Settings:
        """The settings of a proxy's file."""
        return config.load(self.path(number), tls.faults)

    def find(self, host: str, port: int) -> Server | None:
        """Find the server at an address, for another server."""
        server: Server | None = self.net.hosts.get(f"{host}:{port}")
        return server

    def is_blocked(self, one: str, other: str) -> float:
        """Until when nothing gets through between two hosts; 0 when it does."""
        until = self.blocked.get(frozenset((one, other)), 0.0)
        return until if until > self.clock.seconds() else 0.0

    def host_of(self, process: Process | None) -> str:
        """Where a process is; empty for none."""
        return next((proxy.host for proxy in self.proxies if process is not None and proxy.process is process), "")

    @property
    def living(self) -> list[FleetProxy]:
        """The proxies that run."""
        return [proxy for proxy in self.proxies if proxy.alive]

    def next_id(self) -> int:
        """A number for each process that is started, in order."""
        self._begun += 1
        return self._begun

    def connect(self, name: str) -> Wire:
        """Connect a client to its proxy, or to another one while that is not there."""
        at = int(name.rpartition("-")[2]) % len(self.proxies)
        living = self.living
        own = self.proxies[at]
        proxy = own if own.alive else self.chance.choice(living) if living else None
        near, far = self.net.pair("client", "proxy")
        wire = Wire(self, name, near)  # type: ignore[arg-type]
        if proxy is None:
            wire.injected, far.protocol = True, Nobody()
            near.reset()
            return wire
        self._of[wire] = self._clients[name], proxy
        proxy.accept(far)
        return wire

    def connection_over(self, wire: Wire, unanswered: bool) -> None:
        """Judge the end of a client's connection."""
        client, proxy = self._of.pop(wire, (None, None))
        if client is None or proxy is None or client.leaving or wire.injected or self.violation:
            return
        if proxy.hit or self.ending:
            return
        self.judge_end(wire, client.stateful, unanswered)

    def judge_error(self, wire: Wire, error: str) -> None:
        """Nobody is let go on behind a fence that one of the proxies could have lifted.

        Who has lost its leader before the fence may have gone on alone, though, and see it.
        """
        _, proxy = self._of[wire]
        if error.startswith("NOREPLICAS") and not proxy.hit and self.fate.ways_alone:
            self.fail(f"{wire.name}: {proxy} let it go on behind a fence")

    # -- the run

    def play(self) -> Outcome:
        """Play the run to its end."""
        self.judged(self._play)
        commands = sum(proxy.commands for proxy in self.proxies)
        done = self.operator.done
        return Outcome(self.seed, self.violation, self.lines, self.clock.events, commands, done, self.digest)

    def _play(self) -> None:
        self.write_configs(self.current)
        for proxy in self.proxies:
            proxy.start()
        self.run_until(self.ready, CONNECTED_S)
        self.clock.at(LOOK_S, self._look)
        count, operations = self.chance.randint(2, 5), self.chance.randint(5, 25)
        clients = [Client(self, at) for at in range(count)]  # type: ignore[arg-type]
        self._clients = {client.name: client for client in clients}
        works = [client.run(operations) for client in clients]
        works.append(self.operator.run(self.chance.randint(1, 4)))
        if self.faulty:
            works.append(self.fate.run(self.chance.randint(0, 4)))
        running = {ensureDeferred(work).addErrback(self.crashed) for work in works}
        for each in list(running):
            each.addBoth(_leave, running, each)
        self.run_until(lambda: not (running or self.operator.running), LIMIT_S)
        self.ending = True
        self.fate.heal()
        self.run_until(lambda: not (running or self.operator.running), self.now + SETTLED_S)
        if running or self.operator.running:
            waiting = [f"{client.name} ({client.waits})" for client in clients if client.waits]
            self.fail(f"waits for ever: {', '.join([*waiting, *self.operator.running.values()])}")
        self._settle()
        self.history.check(self.current.dbs)
        self._stop()

    def ready(self) -> bool:
        """Whether everything may begin."""
        return all(proxy.sees_all() for proxy in self.proxies)

    def _look(self) -> None:
        """Nobody is held for ever."""
        if self.violation:
            return
        budget_s = self.settings["switchover"]["pause_budget_ms"] / 1000
        limit_s = budget_s + self.lease_ms / 1000 + MARGIN_S + HELD_SLACK_S
        now = self.clock.seconds()
        for proxy in self.proxies:
            if not (proxy.alive and not proxy.process.stopped and SWITCHOVER in proxy.gate.reasons):
                self._held_since.pop(proxy, None)
            elif now - self._held_since.setdefault(proxy, now) > limit_s:
                self.violation = self.violation or f"{proxy} has held its clients for a switchover for {limit_s} s"
        if not self.ending:
            self.clock.at(LOOK_S, self._look)

    def _settle(self) -> None:
        """Everything works again: all proxies find the same server, and take part in another operation."""
        self.operator.find_out()
        together = ensureDeferred(self.operator.put_together()).addErrback(self.crashed)
        self.run_until(lambda: together.called, self.now + SETTLED_S * 2)
        if not together.called:
            self.fail("an operation of the fleet does not end although everything works again")
        for proxy in self.proxies:
            if proxy.server is not self.current:
                self.fail(f"{proxy} is on {proxy.server.name} in the end, and not on {self.current.name}")
            if proxy.gate.reasons or proxy.gate.in_flight or proxy.running:
                self.fail(
                    f"{proxy} is left with {proxy.gate.reasons}, {proxy.gate.in_flight} in flight, {proxy.running}"
                )

    def _stop(self) -> None:
        stopping = [proxy.service.stopService().addErrback(self.crashed) for proxy in self.proxies]
        self.run_until(lambda: all(each.called for each in stopping), self.now + STOP_S)
        if not all(each.called for each in stopping):
            self.fail("a proxy does not stop")
        self.run_until(lambda: False, self.now + STOP_S)
        if left := self.clock.getDelayedCalls():
            self.fail(f"delayed calls are left behind: {left}")
        if ends := self.net.connections("uplink"):
            self.fail(f"{len(ends)} connections are left behind")


def _leave(result: Any, running: set[Any], who: Any) -> None:
    running.discard(who)


def _starts_nothing(child: Process, arguments: list[str], given: bytes, descriptors: dict[int, int]) -> None:
    raise AssertionError("a proxy of a fleet starts no process")


def run_fleet(seed: int) -> Outcome:
    """Play one seed."""
    outcome = FleetWorld(seed).play()
    gc.collect()  # what was killed or given up in the middle must not disturb the next one
    return outcome
