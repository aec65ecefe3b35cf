"""The processes of a run: two Redis servers, the proxy, and relays between all of them."""

from __future__ import annotations

import http.client
import json
import random
import resource
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import redis

from tests.chaos import probe
from tests.chaos.processes import Replaced
from tests.chaos.relay import Relay
from tests.end_to_end.harness import Certificates, RedisServer, free_port, wait_until

DURABLE = ("--appendonly", "yes", "--appendfsync", "always", "--hz", "100")
UPLINK = {
    "connect_timeout_ms": 1500,
    "wait_limit_ms": 3000,
    "reconnect_max_ms": 200,
    "ping_interval_ms": 500,
    "ping_timeout_ms": 1000,
}
SWITCHOVER = {"pause_budget_ms": 2000, "sync_stall_ms": 2500, "sync_deadline_ms": 8000}
FULL_DISK_BYTES = 32768
HOME_S = 15.0


class Server:
    """One Redis server whose acknowledged writes survive SIGKILL, with a relay before it and one for its replica."""

    def __init__(self, name: str, chance: random.Random, durable: bool) -> None:
        self.name = name
        self._durable = durable
        self.redis = RedisServer(*(DURABLE if durable else ()))
        self.relay = Relay(f"the way to {name}", self.redis.port, chance)
        self.replication = Relay(f"the way of {name}'s replica", self.redis.port, chance)
        self.stopped = False

    def ask(self) -> redis.Redis:
        """A client of the server itself, with a timeout."""
        return self.redis.client(socket_timeout=5)

    @property
    def running(self) -> bool:
        """Whether its process runs."""
        return self.redis.process.poll() is None

    def stop(self) -> None:
        """SIGSTOP."""
        self.stopped = True
        self.redis.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self.stopped = False
        self.redis.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL."""
        self.redis.process.kill()
        self.redis.process.wait()
        self.stopped = False

    def settled(self) -> bool:
        """Whether everything acknowledged is on the disk: after a synchronisation the AOF has to be written first."""
        if not self._durable:
            return True
        state = self.ask().info("persistence")
        busy = state["aof_rewrite_in_progress"] or state["aof_rewrite_scheduled"]
        return bool(state["aof_enabled"] and not busy and state["aof_last_bgrewrite_status"] == "ok")

    def fill_disk(self, full: bool) -> None:
        """Have the process fail to write files beyond a few KB, or write again."""
        limit = FULL_DISK_BYTES if full else resource.RLIM_INFINITY
        resource.prlimit(self.redis.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def wipe(self) -> None:
        """Delete its files. It must not be running."""
        shutil.rmtree(Path(self.redis.folder, "appendonlydir"), ignore_errors=True)

    def heal(self) -> None:
        """Undo whatever was done to it."""
        self.relay.clear()
        self.replication.clear()
        if not self.running:
            self.redis.start()
        if self.stopped:
            self.go_on()
        self.fill_disk(False)

    def close(self) -> None:
        """End it."""
        self.relay.close()
        self.replication.close()
        self.redis.stop()


class World:
    """Everything that runs, and what an operator does with it.

    @ivar current: the server that the clients use. @ivar other: the one that they don't.
    @ivar stopped_until: until when a process was stopped last, or none drove the workers; see C{time.monotonic}.
    """

    def __init__(self, seed: int, durable: bool = True, workers: int = 1) -> None:
        chance = random.Random(f"{seed} world")
        self.servers = [Server(name, chance, durable) for name in "AB"]
        self.current, self.other = self.servers
        self.stopped_until = 0.0
        self._file, self._names_other = threading.Lock(), False
        self._folder = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))
        self._certificates = Certificates(self._folder)
        self.tls = ssl.create_default_context(cafile=self._certificates.ca)
        port, self.tls_port = free_port(), free_port()
        cert, key = self._certificates.cert, self._certificates.key
        tls = {"addr": f"127.0.0.1:{self.tls_port}", "tls": True, "certfile": cert, "keyfile": key}
        self.counts = self._folder / "counts"
        environment = {"REDISPROXY_TEST_COUNTS": str(self.counts)}
        self.proxy = Replaced(
            self._uplink(self.current),
            plugin=probe.PLUGIN,
            environment=environment,
            listen=[{"addr": f"127.0.0.1:{port}"}, tls],
            limits={"handshake_timeout_ms": 1500, "client_output_hard_bytes": 4 << 20},
            pause={"drain_deadline_ms": 1500},
            read_time_limit_ms=2500,
            workers=workers,
            wait=False,
        )
        self.proxy.port = port
        self.proxy.begin_with(probe.PLUGIN, environment)
        wait_until(self._ready, "the proxy is ready", 60)
        self.clients = Relay("the way of clients", port, chance)

    def _ready(self) -> bool:
        try:
            return bool(self.proxy.get("/readyz")[0] == 200)
        except OSError:
            return False

    def _uplink(self, server: Server) -> dict[str, Any]:
        return {"addr": f"127.0.0.1:{server.relay.port}", **UPLINK}

    def name_current(self) -> None:
        """Write the server in use into the configuration file."""
        self.proxy.write(uplink=self._uplink(self.current), switchover=SWITCHOVER)
        self._names_other = False

    def switchover(self, settings: dict[str, Any] | None = None, **how: str) -> dict[str, Any]:
        """Let the proxy switch over to the other server; its answer. The file names the server in use then.

        @param settings: of the switchover, beside the usual ones.
        """
        source = f"127.0.0.1:{self.current.replication.port}"
        with self._file:
            self._names_other = True
        settings = {**SWITCHOVER, "replicate_from": source, **(settings or {})}
        self.proxy.write(uplink=self._uplink(self.other), switchover=settings)
        try:
            answer = self.proxy.admin("switchover", **how)[1]
        except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
            answer = {"ok": False, "error": f"the admin port answers no more: {error!r}"}
        if answer["ok"] and not how:
            self.current, self.other = self.other, self.current
        self.name_current()
        return answer

    def find_out(self) -> None:
        """The proxy was killed in a switchover: see at which server its clients are, and have the file name it."""
        wait_until(lambda: self.proxy.info()["uplink"]["connected"], "it has a connection to a server", 60)
        address = self.proxy.info()["uplink"]["address"]
        if address == self._uplink(self.other)["addr"]:
            self.current, self.other = self.other, self.current
        self.name_current()

    def reload(self) -> None:
        """Reload, but never while the file names a server that has no data: a reload would go there as it is told."""
        with self._file:
            if not self._names_other:
                self.proxy.admin("reload")

    def prepare_other(self) -> None:
        """Empty the other server if it can't be switched to as it is."""
        if not self.switchover(dry_run="1")["ok"]:
            self.empty_other()

    def empty_other(self) -> None:
        """Make the other server look new: running, nobody's replica, without data."""
        self.other.heal()
        wait_until(self.other.ask().ping, "the other server answers")
        if self.other.ask().role()[0] != "master":
            self.other.redis.promote()
        self.other.ask().config_set("min-replicas-to-write", 0)
        self.other.ask().flushall()

    def heal(self) -> None:
        """End every fault, as an operator would."""
        for server in self.servers:
            server.heal()
        self.clients.clear()
        self.proxy.do("unpause")
        if self.fenced():
            command = [sys.executable, "-m", "redisproxy.cli", "unfence", "-c", str(self.proxy.path)]
            subprocess.run(command, check=True, capture_output=True, timeout=30)

    def fenced(self) -> bool:
        """Whether the server in use refuses writes because of a switchover that did not come to its end."""
        value = self.current.ask().config_get("min-replicas-to-write")["min-replicas-to-write"]
        return int(value or 0) > 0

    def step(self) -> str:
        """The step at which a switchover is now."""
        current = self.proxy.info()["switchover"]["current"]
        return current["step"] if current else ""

    def wait_for_step(self, name: str, seconds: float) -> bool:
        """Wait until a switchover is at the step `name`, looking often."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.step() == name:
                return True
        return False

    def size(self) -> probe.Size:
        """How large the proxy is, once nobody is connected any more."""
        wait_until(lambda: not probe.still(self.proxy), f"nothing is left ({probe.still(self.proxy)})", HOME_S)
        return probe.look(self.proxy, self.counts)

    def workers(self) -> list[int]:
        """The processes of those workers that answer; empty in a proxy without any."""
        return [each["pid"] for each in self.proxy.info().get("workers", ()) if each["answers"]]

    def serving(self) -> list[int]:
        """Those of them that get clients; after an upgrade others may be there until their TLS clients have gone."""
        told = self.proxy.info().get("workers", ())
        return [each["pid"] for each in told if each["answers"] and not each["leaving"]]

    def closed(self) -> Counter[str]:
        """How many clients the proxy has closed, by reason."""
        return Counter(self.proxy.info()["clients"]["closed"])

    def close(self, keep: bool) -> list[str]:
        """End all of it; return what was wrong with the end.

        @param keep: leave the proxy's log.
        """
        problems = []
        try:
            code = self.proxy.stop()
            problems += [f"the proxy ended with {code}"] if code else []
        except (AssertionError, subprocess.TimeoutExpired) as error:
            problems.append(f"the proxy's end: {error}")
        self.clients.close()
        for server in self.servers:
            server.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        if keep:
            print(f"the proxy's log: {self.proxy.log_path}")
        else:
            shutil.rmtree(self.proxy.folder, ignore_errors=True)
        return problems
