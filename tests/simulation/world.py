"""Plays one simulated run: the proxy and everything around it, made from one seed, run to the end, and judged."""

from __future__ import annotations

import gc
import json
import os
import pickle
from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred, ensureDeferred

from redisproxy import config
from redisproxy.figures import metrics
from redisproxy.forwarding.twins import Flow
from redisproxy.net import tls
from redisproxy.service import Proxy, in_this_process
from redisproxy.workers.share import share_of
from tests.simulation.boundary import Boundary
from tests.simulation.bypass import Bypass
from tests.simulation.caching import Caching, Party
from tests.simulation.clients import Client, Wire
from tests.simulation.copying import FEED_STALLS_S, ONLY_STRINGS, MortalCopying, copies, strings_and_lists
from tests.simulation.descriptors import clear_away
from tests.simulation.failovers import run_failovers
from tests.simulation.fleet import run_fleet
from tests.simulation.idle_resets import IdleResets
from tests.simulation.judged import JudgedRun
from tests.simulation.listing import Listing
from tests.simulation.loading import Loading
from tests.simulation.mode import Mode
from tests.simulation.network import End, SimNetwork
from tests.simulation.one_process import OneProcess
from tests.simulation.operator import Fate, Operator
from tests.simulation.outcome import Outcome
from tests.simulation.placement import Placement
from tests.simulation.redis import Server
from tests.simulation.resizes import Resizes
from tests.simulation.scripting import Scripting
from tests.simulation.services import Services
from tests.simulation.terms import conditions, settings_of, sigterm_of
from tests.simulation.upgrades import Upgradable, workers_in_upgrades
from tests.simulation.workers import Workers, workers_of

if TYPE_CHECKING:
    from redisproxy.control.configuration import Configuration
    from redisproxy.control.control import Control
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.dataplane.local import LocalDataPlane

SERVERS = 3
LIMIT_S = 120.0
PATIENCE_S = 40.0
STOP_S = 20.0
CONNECTED_S = 5.0
LINKS_S = 15.0
"""A link that was cut unnoticed is closed by then, and a worker that nobody drives has ended."""
FOUND_OUT_S = 20.0
"""The control plane has a new connection by then, and the data plane has ended what was interrupted."""


class World(JudgedRun):
    """Everything of one run.

    @ivar faulty: whether things break; where nothing does, no client may see an error or lose its connection.
    @ivar sigterm: when the proxy is stopped in the middle of everything; None for not at all.
    @ivar boundary: what is between control plane and data plane; None when they are in one process.
    @ivar max_pinned: how many pinned connections each data plane may have.
    @ivar workers: the processes of a proxy with workers; None for one without.
    @ivar placement: sees where commands are carried out. @ivar ids: which connections have had which id.
    @ivar current: the server that clients should be on. @ivar switching: a switchover was asked for and is not over.
    """

    def __init__(self, seed: int, mode: Mode = Mode.ONE_PROCESS) -> None:
        super().__init__(seed, Random(f"{seed} world"), faulty=0.6)
        self.switching = self.stopped = False
        self.sigterm = sigterm_of(seed)
        self.password = self.chance.choice(("", "secret"))
        self.wires: dict[Wire, Client | Party | None] = {}
        self.net.now = conditions(self.chance)
        self.servers = [Server(f"10.0.0.{at}:6379", self.clock, self.chance, self.find) for at in range(1, SERVERS + 1)]
        for at, server in enumerate(self.servers, 1):
            server.password = self.chance.choice(("", f"pw{at}"))
            server.lag = self.chance.choice((0.0, 0.001, 0.02))
            server.sync_s = self.chance.choice((0.01, 0.2))
            server.feed_stalls_s = FEED_STALLS_S if copies(seed) else ()
            self.net.hosts[server.name] = self.net.hosts[f"10.0.1.{at}:6379"] = server
        self.current = self.servers[0]
        self._settings = settings_of(seed, self.chance, self.faulty, self.password)
        self.path = os.path.join(self.folder, "config.json")
        if mode.many:
            count = workers_in_upgrades(seed) if mode is Mode.UPGRADE else workers_of(seed)
            self._settings |= {"workers": count, "run_directory": os.path.join(self.folder, "run")}
        self.net.run_program = Services(self).run
        self.write_config(self.current)
        settings = config.load(self.path, tls.faults)
        self.max_pinned = share_of(settings).uplink.max_pinned
        self.boundary: Boundary | None = None
        self.workers: Workers | None = None
        self.carrier: Workers | OneProcess
        if mode.many:
            kind = Upgradable if mode is Mode.UPGRADE else Workers
            self.carrier = self.workers = kind(self, settings, mode)
        else:
            network = SimNetwork(self.net)
            reach = partial(self._over_the_boundary, network) if mode is Mode.BOUNDARY else in_this_process
            copying = partial(MortalCopying, world=self, network=network)
            self.carrier = OneProcess(self, settings, network, reach, copying)
        self.operations: Any = self.carrier.requests
        self._clients: dict[str, Client | Party] = {}
        self.operator = Operator(self)
        self.idle_resets = IdleResets(self)
        self.resizes = Resizes(self)
        self.placement = Placement(self)
        self.ids: dict[int, Wire] = {}

    def _over_the_boundary(
        self, network: SimNetwork, dataplane: LocalDataPlane, configuration: Configuration
    ) -> DataPlane:
        self.boundary = Boundary(self, dataplane, configuration, network)
        return self.boundary.remote

    # -- what operator, fate and clients use

    @property
    def service(self) -> Proxy:
        """Of the process in charge, or of the last one while there is none."""
        return self.carrier.service

    @property
    def control(self) -> Control:
        """Its control plane."""
        return self.service.control

    @property
    def in_use(self) -> Server:
        """The server that clients go to."""
        server: Server = self.net.hosts[self.carrier.server]
        return server

    @property
    def workers_are_hit(self) -> bool:
        """Whether something happens to the proxy's processes."""
        return self.workers is not None and self.workers.disturbed

    @property
    def decided(self) -> Server:
        """The server that the control plane has decided on for all clients."""
        server: Server = self.net.hosts[self.carrier.decided]
        return server

    @property
    def loses_control(self) -> bool:
        """Whether data planes may be without a control plane for a while."""
        return self.boundary is not None or (self.workers is not None and self.workers.loses_control)

    @property
    def upgrades(self) -> bool:
        """Whether the proxy is upgraded in this world, which refuses other orders meanwhile."""
        return isinstance(self.workers, Upgradable)

    @property
    def knows(self) -> bool:
        """Whether the control plane drives every data plane, and nothing is under way that it has begun by itself."""
        if self.workers is not None:
            return self.workers.knows and self.control.exclusion._running is None
        return self.boundary is None or self.boundary.usable

    @property
    def number_of_workers(self) -> int:
        """As the file names it."""
        number: int = self._settings["workers"]
        return number

    @number_of_workers.setter
    def number_of_workers(self, number: int) -> None:
        self._settings["workers"] = number

    def write_config(self, server: Server, alias: bool = False) -> None:
        """Have the file name this server."""
        address = server.name.replace("10.0.0.", "10.0.1.") if alias else server.name
        secret = {"pass": server.password} if server.password else {}
        document = {**self._settings, "uplink": {"addr": address, **secret, **self._settings["uplink"]}}
        with open(self.path, "w", encoding="utf-8") as file:
            json.dump(document, file)

    def settle_servers(self) -> None:
        """Perhaps empty and unfence servers that are not in use, as an operator may before moving there again.

        A server that somebody is connected to stays as it is: emptied, it would accept writes that are lost with it.
        """
        for server in self.servers:
            free = server is not self.current and server.repl.primary is None and not server.down
            free = free and not server.connections
            if free and self.chance.random() < 0.5:
                server.dbs = [{} for _ in server.dbs]
                server.config["min-replicas-to-write"] = "0"

    def find(self, host: str, port: int) -> Server | None:
        """Find the server at an address, for another server."""
        server: Server | None = self.net.hosts.get(f"{host}:{port}")
        return server

    def connect(self, name: str) -> Wire:
        """Connect a client to the proxy. A connection that belongs to no L{Client} may end at any time."""
        near, far = self.net.pair("client", "proxy")
        wire = Wire(self, name, near)
        self.wires[wire] = self._clients.get(name)
        self.resizes.perhaps_stays(far)
        self.carrier.accept(far)
        return wire

    def connection_over(self, wire: Wire, unanswered: bool) -> None:
        """Judge the end of a client's connection."""
        client = self.wires.pop(wire)
        if client is None or client.leaving or wire.injected or self.violation:
            return
        if (self.ending and self.sigterm) or (self.workers is not None and self.workers.may_lose(wire)):
            return
        self.judge_end(wire, client.stateful, unanswered)

    # -- the run

    def play(self) -> Outcome:
        """Play the run to its end."""
        all_values = patch("redisproxy.copying.servers.try_types", strings_and_lists)
        few_keys = patch("redisproxy.copying.batches.ONLY_STRINGS", ONLY_STRINGS)
        self.judged(self._play, self.carrier.system(), all_values, few_keys)
        return Outcome(
            self.seed,
            self.violation,
            self.lines,
            self.clock.events,
            self.carrier.commands,
            self.operator.done,
            self.digest,
            self.operator.answers,
        )

    def _play(self) -> None:
        if self.boundary is not None:
            self.boundary.connect()
            self.run_until(lambda: self.boundary is not None and self.boundary.usable, CONNECTED_S)
        self.carrier.begin()
        if self.workers is not None:
            self.run_until(self.workers.ready, CONNECTED_S)
        count, operations = self.chance.randint(2, 5), self.chance.randint(5, 25)
        clients = [Client(self, at) for at in range(count)]
        self._clients = {client.name: client for client in clients}
        works = [client.run(operations) for client in clients]
        works.append(self.operator.run(self.chance.randint(1, 5)))
        if not self.faulty:
            works.append(Bypass(self).run(self.chance.choice((0, 0, 30))))
        else:
            works.append(Fate(self).run(self.chance.randint(1, 6)))
        if self.workers is not None and self.workers.hit:
            works.append(self.workers.break_some(self.chance.randint(0, 4)))
        if self.workers is not None and self.workers.handovers is not None:
            works.append(self.workers.handovers.run(self.chance.randint(3, 20)))
        if self.workers is not None and self.workers.restarts is not None:
            works.append(self.workers.restarts.run())
        if isinstance(self.workers, Upgradable):
            works.append(self.workers.run(self.chance.randint(1, 4)))
        if self.resizes.active:
            works.append(self.resizes.run())
        caching = Caching(self)
        if caching.active:
            self._clients |= caching.parties
            works.append(caching.run())
        scripting = Scripting(self)
        if scripting.active:
            self._clients |= scripting.parties
            works.append(scripting.run())
        loading = Loading(self)
        if loading.active:
            self._clients |= loading.parties
            works.append(loading.run())
        listing = Listing(self)
        if listing.active:
            self._clients |= listing.parties
            works.append(listing.run())
        running = set(map(self._begin, works))
        for each in list(running):
            each.addBoth(_leave, running, each)
        self.idle_resets.begin()

        def over() -> bool:
            return not (running or self.operator.running)

        self.run_until(lambda: over() or self._is_time_to_stop(), LIMIT_S)
        self.ending = True
        self.carrier.revive()
        if self.sigterm:
            self._stop_in_the_middle(over)
        self._heal()
        self.run_until(lambda: False, self.now + (FOUND_OUT_S if self.loses_control else 1))
        if running or self.operator.running:
            self._who_waits()
        self.run_until(self._quiet, self.now + PATIENCE_S)
        if not self.sigterm:
            self.resizes.check()
        self._nothing_is_left()
        if self.in_use is not self.current:
            self.fail(f"the answers say that the clients are on {self.current.name}; they are on {self.in_use.name}")
        self.history.check(self.current.dbs)

    def _begin(self, work: Any) -> Deferred[Any]:
        return ensureDeferred(work).addErrback(self.crashed)

    def _quiet(self) -> bool:
        gates = [plane.core.gate for plane in self.carrier.planes]
        # Nobody waits for the answer to a SIGHUP, and what it has begun may wait for a process that is stopped.
        held = not self.sigterm and not all(gate.open for gate in gates)
        busy = held or any(gate.in_flight for gate in gates) or any(len(each.registry) for each in self.carrier.planes)
        return not (busy or self.net.connections("client"))

    def _heal(self) -> None:
        """Nothing fails any more, and the operator lets everybody go on."""
        ensureDeferred(self.operator.unpause()).addErrback(self.crashed)

    def _who_waits(self) -> None:
        waiting = [f"{client.name} ({client.waits})" for client in self._clients.values() if client.waits]
        self.fail(f"waits for ever: {', '.join([*waiting, *self.operator.running.values()])}")

    def _is_time_to_stop(self) -> bool:
        switching = self.control.switchover.running
        step = switching.report["step"] if switching is not None else ""
        return self.sigterm is not None and self.sigterm.is_due(self.now, step)

    def _stop_in_the_middle(self, over: Callable[[], bool]) -> None:
        """Send SIGTERM; the server that is in use in the end has to take writes."""
        self.note("operator", "SIGTERM")
        self.stop()
        self.run_until(over, self.now + 5)
        server = self.current
        if not self.faulty and (server.repl.primary is not None or server.config["min-replicas-to-write"] != "0"):
            self.fail(f"{server.name} takes no writes after the proxy was stopped")

    def stop(self) -> None:
        """Stop the proxy, which has to take a moment at most and leave nothing behind.

        @raise Violation: it took longer, or left something.
        """
        reloads = self.control.metrics.reloads_total
        self.carrier.stop()
        stopping = self.carrier.stop_service().addErrback(self.crashed)
        self.run_until(lambda: stopping.called, self.now + STOP_S)
        if not stopping.called:
            self.fail("the proxy does not stop")
        self.stopped = True
        if self.boundary is not None:
            stopping = ensureDeferred(self.boundary.stop()).addErrback(self.crashed)
            self.run_until(lambda: stopping.called, self.now + STOP_S)
        if self.workers is not None:
            self.run_until(self.workers.is_over, self.now + LINKS_S)
        # To another process the order to swap may be on its way, which is not taken back.
        if self.control.metrics.reloads_total > reloads + (self.boundary is not None or self.workers is not None):
            self.fail("a reload went on although the proxy was to stop")
        self._nothing_goes_on()

    def _nothing_goes_on(self) -> None:
        """Check that the process could end now: nothing is open but closing connections, nothing is to happen."""
        self.run_until(lambda: False, self.now)
        if open_ends := [end for end in self.net.connections("uplink") if not end.disconnecting]:
            self.fail(f"stopped, with connections open: {[type(end.protocol).__name__ for end in open_ends]}")
        if left := self.carrier.left():
            self.fail(f"stopped, and still there: {left}")
        if calls := [call for call in self.clock.getDelayedCalls() if not _is_deadline_of_closing(call)]:
            self.fail(f"stopped, with calls to come: {calls}")

    def _nothing_is_left_in(self, plane: LocalDataPlane) -> None:
        core, registry = plane.core, plane.registry
        gate = core.gate
        if len(registry) or core.metrics.clients.open:
            self.fail(f"clients are left behind: {[client.id for client in registry]}")
        if core.dedicated:
            self.fail(f"{core.dedicated} connections count as clients' own with no client there")
        if gate.in_flight:
            self.fail(f"the gate counts {gate.in_flight} in flight with no client there")
        if gate.held or not (gate.open or self.sigterm):
            self.fail(f"the gate is {gate.state.value} with {gate.held} held")

    def _nothing_is_left(self) -> None:
        for plane in self.carrier.planes:
            self._nothing_is_left_in(plane)
        if not self.sigterm:
            self.stop()
        self.run_until(lambda: False, self.now + 20)
        if left := self.clock.getDelayedCalls():
            self.fail(f"delayed calls are left behind: {left}")
        if ends := self.net.connections("uplink"):
            self.fail(f"{len(ends)} uplink connections are left behind")
        if held := len(self.net.descriptors):
            self.fail(f"{held} descriptors of connections are left open")


def _is_deadline_of_closing(call: DelayedCall) -> bool:
    end = getattr(call.func, "__self__", None)
    return isinstance(end, End) and end.disconnecting


def _leave(result: Any, running: set[Any], who: Any) -> None:
    running.discard(who)


def _without_times(*arguments: Any) -> Flow:
    """Replies are measured in real time, whose figures would be of another size in each run."""
    flow = Flow(*arguments)
    flow.clock = lambda: 1
    return flow


@patch.object(metrics, "Flow", _without_times)
def run(seed: int, mode: Mode = Mode.ONE_PROCESS) -> Outcome:
    """Play one seed."""
    if mode is Mode.FLEET:
        return run_fleet(seed)
    if mode is Mode.FAILOVER:
        return run_failovers(seed)
    if mode in (Mode.RESTART, Mode.UPGRADE):
        return _run_apart(seed, mode)
    outcome = World(seed, mode).play()
    clear_away()
    if outcome.violation:
        gc.collect()  # what was given up in the middle must not disturb the next one
    return outcome


def _run_apart(seed: int, mode: Mode) -> Outcome:
    """Play one seed in a process of its own.

    What is left of processes that were killed in the middle of something is not cleaned up: it ends with that process.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            gc.disable()
            with open(writing, "wb") as result:
                pickle.dump(World(seed, mode).play(), result)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as result:
        told = result.read()
    os.waitpid(child, 0)
    outcome: Outcome = pickle.loads(told) if told else Outcome(seed, "the run has crashed")
    return outcome
