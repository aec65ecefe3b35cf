"""Several proxies as one fleet, before two servers, with relays between all of them, and clients at each proxy."""

from __future__ import annotations

import http.client
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import permutations
from typing import Any

from tests.chaos.crossing import Crossing
from tests.chaos.incidents import DROPPED, LOST, UNAVAILABLE, Incidents
from tests.chaos.ledger import Jobs
from tests.chaos.relay import Relay, Weather
from tests.chaos.steady import Client, Idle, Producer, Worker, Writer
from tests.chaos.wire import Reply
from tests.end_to_end.harness import Proxy, RedisServer, free_port, wait_until

COUNT = 3
BUDGET_MS, LEASE_MS = 2000, 2000
UPLINK = {
    "connect_timeout_ms": 3000,
    "wait_limit_ms": 5000,
    "reconnect_max_ms": 200,
    "ping_interval_ms": 2000,
    "ping_timeout_ms": 4000,
}
SETTLES_S = 90.0
AWAITED_S = 3.0
STEPS = ("connect", "drain", "fence", "verify", "promote", "swap")
SECRET = "of the fleet that is cut to pieces"
EXCUSED = frozenset({LOST, DROPPED, UNAVAILABLE})
QUEUE = "jobs"


class TimedWriter(Writer):
    """@ivar longest_s: the longest wait for replies since that was set to 0."""

    longest_s = 0.0

    def turn(self) -> None:
        super().turn()
        time.sleep(self.chance.uniform(0, 0.1))  # the relays are threads of the same process

    def ask(self, *commands: tuple[Any, ...]) -> list[Reply]:
        began = time.monotonic()
        try:
            return super().ask(*commands)
        finally:
            self.longest_s = max(self.longest_s, time.monotonic() - began)


class Way:
    """All relays between two places, as one."""

    def __init__(self, *relays: Relay) -> None:
        self._relays = relays

    def fail(self, how: str) -> None:
        """Let nothing through: C{cut}, C{stall} or C{blackhole}."""
        weather = Weather(refuse=how == "cut", stall=how == "stall", blackhole=how == "blackhole")
        for relay in self._relays:
            relay.set(weather)
            if how == "cut":
                relay.reset()

    def heal(self) -> None:
        """Let everything through."""
        for relay in self._relays:
            relay.clear()


class Party:
    """One proxy, its clients, and what they have seen.

    @ivar waits_alone: it was killed or stopped, or cut off from a server: what its clients see is explained by that.
    """

    def __init__(self, proxy: Proxy, seed: int, number: int, jobs: Jobs, clients: int) -> None:
        self.proxy, self.incidents = proxy, Incidents()
        self.waits_alone = False
        port, noted = proxy.port, self.incidents
        self.writers = [TimedWriter(f"{number}-w{each}", port, seed, noted) for each in range(clients)]
        self.clients: list[Client] = [
            *self.writers,
            Producer(f"{number}-p", port, seed, noted, jobs, QUEUE),
            Worker(f"{number}-b", port, seed, noted, jobs, QUEUE),
        ]
        self.idle = Idle(port, 3, noted)

    @property
    def lives(self) -> bool:
        """Whether its process runs."""
        return self.proxy.process.poll() is None

    def judge(self) -> list[str]:
        """What its clients have seen that nothing explains."""
        with suppress(OSError):  # it is being started again
            self.idle.check()
        return self.incidents.judge(EXCUSED if self.waits_alone else frozenset())


class FleetWorld:
    """Everything that runs.

    @param more: of each proxy's configuration.
    @param direct: without relays, which share a processor with the clients, and are late when that is busy.
    @ivar current: the server in use. @ivar other: the one that the next switchover goes to.
    """

    def __init__(self, seed: int, clients: int, more: dict[str, Any], direct: bool = False) -> None:
        self._chance = random.Random(f"{seed} world")
        self._without_relays = direct
        self._more = more
        self.servers = [RedisServer("--hz", "100") for _ in "AB"]
        self.current, self.other = self.servers
        self._direct = [Relay("direct", each.port, self._chance) for each in self.servers]
        self._proxies: list[Proxy] = []
        self._to_servers = [[self._relay(each.port) for each in self.servers] for _ in range(COUNT)]
        self._crossings = [
            Crossing([(self._pid_of(at), self._to_servers[at][which]) for at in range(COUNT)], self._direct[which])
            for which in range(2)
        ]
        self._addresses = [f"127.0.0.1:{free_port()}" for _ in range(COUNT)]
        self._between = {
            (one, other): self._relay(int(self._addresses[other].rpartition(":")[2]))
            for one, other in permutations(range(COUNT), 2)
        }
        self._proxies += [self._proxy(at) for at in range(COUNT)]
        wait_until(lambda: all(map(_assembled, self._proxies)), "all peers are connected", SETTLES_S)
        self.jobs = Jobs()
        self.parties = [Party(proxy, seed, at, self.jobs, clients) for at, proxy in enumerate(self._proxies)]
        for client in self._clients:
            client.start()

    def _relay(self, port: int) -> Relay:
        return Relay("", port, self._chance)

    def _pid_of(self, at: int) -> Any:
        return lambda: self._proxies[at].process.pid if at < len(self._proxies) else 0

    @property
    def _clients(self) -> list[Client]:
        return [client for party in self.parties for client in party.clients]

    def _uplink(self, server: RedisServer) -> dict[str, Any]:
        return {"addr": self.address(server), **UPLINK}

    def address(self, server: RedisServer) -> str:
        """Where the proxies reach it."""
        if self._without_relays:
            return f"127.0.0.1:{server.port}"
        return f"127.0.0.1:{self._crossings[self.servers.index(server)].port}"

    def _proxy(self, at: int) -> Proxy:
        peers = [self._addresses[at], *(f"127.0.0.1:{self._between[at, each].port}" for each in self._others(at))]
        peers = self._addresses if self._without_relays else peers
        fleet = {"listen": {"addr": self._addresses[at]}, "peers": peers, "secret": SECRET, "lease_ms": LEASE_MS}
        more = {"pause": {"drain_deadline_ms": 1500}, "read_time_limit_ms": 15_000, "wait": False, **self._more}
        return Proxy(self._uplink(self.current), fleet=fleet, **{**more, "switchover": self._switchover()})

    @staticmethod
    def _others(at: int) -> list[int]:
        return [each for each in range(COUNT) if each != at]

    def _switchover(self) -> dict[str, Any]:
        own = {"pause_budget_ms": BUDGET_MS, "replace_data": True, "sync_stall_ms": 2500, "sync_deadline_ms": 8000}
        return {**own, "replicate_from": f"127.0.0.1:{self.current.port}", **self._more.get("switchover", {})}

    # -- what an operator does

    def point_at(self, server: RedisServer) -> None:
        """Have every file name this server."""
        for proxy in self._proxies:
            proxy.write(uplink=self._uplink(server), switchover=self._switchover())

    def switch_over(self, leader: int) -> dict[str, Any]:
        """Have it lead a switchover to the other server; its answer."""
        try:
            return self._proxies[leader].admin("switchover")[1]
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
            return {"ok": False, "error": f"it answers no more: {error!r}"}

    def empty_other(self) -> None:
        """Make the server that nobody uses look new."""
        server = self.other.client()
        server.replicaof("NO", "ONE")
        server.config_set("min-replicas-to-write", 0)
        server.flushall()

    def unfence(self) -> bool:
        """Lift what is left of a fence at the server in use; whether there was one."""
        found = self.current.client().config_get("min-replicas-to-write")["min-replicas-to-write"]
        if int(found or 0) == 0:
            return False
        command = [sys.executable, "-m", "redisproxy.cli", "unfence", "-c", str(self._proxies[0].path)]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        return True

    # -- faults

    def slow_down(self, delay_s: float) -> None:
        """Have everything between proxies and servers take so much longer, in each direction."""
        for relays in self._to_servers:
            for relay in relays:
                relay.set(Weather(delay_s))

    def await_step(self, leader: int, step: str) -> None:
        """Wait until the switchover that it leads has come so far; for some seconds at the most."""
        until, steps = time.monotonic() + AWAITED_S, STEPS[STEPS.index(step) :]
        while time.monotonic() < until:
            with suppress(OSError, http.client.HTTPException, ValueError):
                current = self._proxies[leader].info()["switchover"]["current"]
                if current and current["step"] in steps:
                    return

    def kill(self, at: int) -> None:
        """SIGKILL."""
        self._proxies[at].process.kill()
        self._proxies[at].process.wait()

    def signal(self, at: int, how: signal.Signals) -> None:
        """Signal the process, if it runs."""
        self._proxies[at].process.send_signal(how)

    def to_peers(self, at: int) -> Way:
        """Between this proxy and all others."""
        return Way(*(relay for ends, relay in self._between.items() if at in ends))

    def from_leader(self, leader: int, to: int) -> Way:
        """From the leader to one peer."""
        return Way(self._between[leader, to], self._between[to, leader])

    def to_server(self, at: int, which: RedisServer) -> Way:
        """From this proxy to one server."""
        return Way(self._to_servers[at][self.servers.index(which)])

    # -- afterwards

    def settled(self) -> list[str]:
        """Wait until all proxies that live are at work at the same server, and start the others; what is wrong."""
        try:
            wait_until(lambda: len(self._in_use()) == 1 and "" not in self._in_use(), "all agree", SETTLES_S)
        except AssertionError:
            found = {party.proxy.port: _server_of(party.proxy) for party in self.parties if party.lives}
            return [f"they don't agree within {SETTLES_S:g} s: {found}"]
        if self._in_use() != {self.address(self.current)}:
            self.current, self.other = self.other, self.current
        self.point_at(self.current)
        for party in self.parties:
            if not party.lives:
                party.proxy.restart()
        wait_until(lambda: all(map(_assembled, self._proxies)), "all peers are connected again", SETTLES_S)
        return []

    def _in_use(self) -> set[str]:
        return {_server_of(party.proxy) for party in self.parties if party.lives}

    def get_on(self) -> list[str]:
        """Wait until every client gets replies again; what is wrong."""
        before = {client: client.turns for client in self._clients}
        slow = list(before)

        def all_go_on() -> bool:
            slow[:] = [client for client in slow if client.turns < before[client] + 2]
            return not slow

        try:
            wait_until(all_go_on, "clients go on", 20)
        except AssertionError:
            return [f"no way on for {', '.join(client.name for client in slow)}"]
        return []

    def end(self) -> list[str]:
        """The clients leave; what is wrong with the data."""
        for client in self._clients:
            client.stopping.set()
        for client in self._clients:
            client.join(30)
        server: Any = self.current.client()
        problems = [problem for party in self.parties for writer in party.writers for problem in writer.final(server)]
        problems.append(self.jobs.final(server.lrange(QUEUE, 0, -1)))
        problems += [f"{client.name} waits for ever" for client in self._clients if client.is_alive()]
        return [problem for problem in problems if problem]

    def close(self, keep: bool) -> list[str]:
        """End everything; what is wrong with the end. @param keep: leave the logs."""
        problems = []
        for party in self.parties:
            party.idle.close()
        for proxy in self._proxies:
            try:
                proxy.stop()
            except (AssertionError, subprocess.TimeoutExpired) as error:
                problems.append(f"a proxy's end: {str(error)[-3000:]}")
            if keep or problems:
                print(f"the proxy's log: {proxy.log_path}")
            else:
                shutil.rmtree(proxy.folder, ignore_errors=True)
        for server in self.servers:
            server.stop()
        return problems


def _assembled(proxy: Proxy) -> bool:
    with suppress(OSError, http.client.HTTPException, ValueError):
        found = json.loads(proxy.get("/fleet.json")[1])
        return not found["faults"] and len(found["peers"]) == COUNT - 1 and proxy.get("/readyz")[0] == 200
    return False


def _server_of(proxy: Proxy) -> str:
    """The server in use; empty while clients are held, or the server is not connected."""
    with suppress(OSError, http.client.HTTPException, ValueError, KeyError):  # the last: no worker answers
        info = proxy.info()
        at_work = info["state"] == "running" and info["uplink"]["connected"] and not info["switchover"]["current"]
        return str(info["uplink"]["address"]) if at_work else ""
    return ""
