"""Real Sentinel processes: Debian's redis-server is its own Sentinel when it is told so."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from tests.end_to_end.harness import Certificates, RedisServer, free_port, redis_program, wait_until

NAME = "mymaster"
PASSWORD = "of the servers"
SENTINEL_PASSWORD = "of the sentinels"


class Sentinel:
    """One sentinel process; it watches a primary from its start on."""

    def __init__(self, primary: RedisServer, quorum: int, port: int = 0, tls: Certificates | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sentinel-", dir="/tmp"))
        self.port = port or free_port()
        self.tls = tls
        config = [
            *self._listening(),
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f'requirepass "{SENTINEL_PASSWORD}"',
            f'sentinel sentinel-pass "{SENTINEL_PASSWORD}"',
            f"sentinel monitor {NAME} 127.0.0.1 {primary.port} {quorum}",
            f'sentinel auth-pass {NAME} "{primary.password}"',
            f"sentinel down-after-milliseconds {NAME} 500",
            f"sentinel failover-timeout {NAME} 4000",
            f"sentinel parallel-syncs {NAME} 2",
        ]
        path = self.folder / "sentinel.conf"
        path.write_text("\n".join(config))
        self.process = subprocess.Popen(
            [redis_program(), str(path), "--sentinel"],
            stdout=(self.folder / "log").open("wb"),
            stderr=subprocess.STDOUT,
        )
        wait_until(self._answers, "the sentinel answers")

    def _listening(self) -> list[str]:
        if self.tls is None:
            return [f"port {self.port}"]
        files = [f"tls-cert-file {self.tls.cert}", f"tls-key-file {self.tls.key}", f"tls-ca-cert-file {self.tls.ca}"]
        return ["port 0", f"tls-port {self.port}", "tls-auth-clients optional", "tls-replication yes", *files]

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            return bool(self.client().ping())
        except redis.ConnectionError:
            return False

    def client(self) -> redis.Redis:
        """A client of this sentinel."""
        secure: dict[str, Any] = {"ssl": True, "ssl_ca_certs": self.tls.ca} if self.tls else {}
        return redis.Redis(port=self.port, password=SENTINEL_PASSWORD, decode_responses=True, **secure)

    def knows(self, replicas: int, others: int) -> bool:
        """Whether it could carry out a failover: it knows this many healthy replicas and other sentinels."""
        client = self.client()
        state: Any = client.sentinel_master(NAME)
        slaves: Any = client.sentinel_slaves(NAME)
        ready = [each for each in slaves if each["master-link-status"] == "ok" and not each["is_sdown"]]
        return len(ready) >= replicas and int(state["num-other-sentinels"]) >= others

    def kill(self) -> None:
        """Kill it (SIGKILL)."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


class Group:
    """A primary, its replicas and the sentinels that watch them."""

    def __init__(self, servers: list[RedisServer], sentinels: list[Sentinel]) -> None:
        self.servers = servers
        self.sentinels = sentinels

    @property
    def uplink(self) -> dict[str, Any]:
        """The uplink section for this group."""
        return {
            "sentinels": [f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels],
            "master_name": NAME,
            "pass": PASSWORD,
            "sentinel_pass": SENTINEL_PASSWORD,
            "sentinel_poll_ms": 500,
        }

    def other_than(self, port: int) -> list[RedisServer]:
        """The servers at other ports than this one."""
        return [server for server in self.servers if server.port != port]


def redis_server(*options: str, port: int = 0, tls: Certificates | None = None) -> RedisServer:
    """Start a server of a group."""
    return RedisServer(*options, password=PASSWORD, port=port, tls=tls)


@contextmanager
def running_group(replicas: int, sentinels: int, quorum: int) -> Iterator[Group]:
    """Start all of it and wait until every sentinel could carry out a failover."""
    group = Group([redis_server()], [])
    primary = group.servers[0]
    try:
        for _ in range(replicas):
            group.servers.append(redis_server("--replicaof", "127.0.0.1", str(primary.port)))
        in_step = f"slave{replicas - 1}" if replicas else "role"
        wait_until(lambda: in_step in primary.client().info("replication"), "the replicas follow")
        for _ in range(sentinels):
            group.sentinels.append(Sentinel(primary, quorum))
        for each in group.sentinels:
            wait_until(lambda each=each: each.knows(replicas, sentinels - 1), "the sentinel knows everybody")
        yield group
    finally:
        for sentinel in group.sentinels:
            sentinel.kill()
            shutil.rmtree(sentinel.folder, ignore_errors=True)
        for server in group.servers:
            server.stop()
