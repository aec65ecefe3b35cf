"""Starts each peer in its default form, with one thread, all before the same Redis."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.certificate import TLS_VERSION, Certificate
from bench.errors import BenchError
from bench.processes import START_DEADLINE_S, Processes, Running, free_ports
from bench.wire import Connection

ROOT = Path(__file__).resolve().parent.parent
# More than the idle clients and the one that looked whether the peer answers.
MAX_CLIENTS = 12_000
CHECK_KEY = b"bench:check"
_RESERVED_FILES = 200


@dataclass(frozen=True)
class Site:
    """What all peers of a run share. `files` is how many files a process may open."""

    processes: Processes
    folder: Path
    redis: Running
    certificate: Certificate
    files: int


@dataclass(frozen=True)
class Peer:
    """A peer that runs. `process` is None for Redis without a proxy; it can serve `capacity` clients."""

    name: str
    port: int
    process: Running | None = None
    password: str = field(default="", repr=False)
    certificate: Certificate | None = None
    admin_port: int = 0
    capacity: int = MAX_CLIENTS

    @property
    def tls(self) -> bool:
        """Whether its listener speaks TLS."""
        return self.certificate is not None

    def connect(self) -> Connection:
        """Open a connection, and authenticate if the peer wants that."""
        return Connection(self.port, self.password, str(self.certificate.authority) if self.certificate else "")


def start_redis(processes: Processes, folder: Path, files: int) -> Running:
    """Start a Redis without persistence."""
    (port,) = free_ports(1)
    off = ("--save", "", "--appendonly", "no", "--maxclients", str(files - _RESERVED_FILES))
    return processes.start(
        "redis", [program("redis-server"), "--bind", "127.0.0.1", "--port", str(port), *off], port, folder
    )


def program(name: str) -> str:
    """Find a program, also in the folders of daemons. Raises BenchError when it is not installed."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if not found:
        raise BenchError(f"{name} is not installed; bench/setup.sh installs it")
    return found


def start_peer(name: str, site: Site) -> Peer:
    """Start the peer called `name` (see PEERS), and see that a value goes through it both ways."""
    peer = PEERS[name](name, site)
    with peer.connect() as connection:
        connection.ask(b"SET", CHECK_KEY, name.encode())
        if connection.ask(b"GET", CHECK_KEY) != name.encode():
            raise BenchError(f"{name} gave a wrong answer")
    return peer


def _direct(name: str, site: Site) -> Peer:
    return Peer(name, site.redis.port, capacity=_capacity(site, 1))


def redisproxy(
    name: str,
    site: Site,
    workers: int = 1,
    environment: Mapping[str, str] | None = None,
    under: Sequence[str] = (),
    deadline_s: float = START_DEADLINE_S,
) -> Peer:
    """Start redisproxy with so many workers, and with TLS if its name ends in `-tls`. @param under: what runs it."""
    port, admin_port = free_ports(2)
    certificate, password = _certificate(name, site), secrets.token_hex(16)
    listen: dict[str, object] = {"addr": f"127.0.0.1:{port}", "pass": password}
    if certificate:
        listen |= {"tls": True, "certfile": str(certificate.chain), "keyfile": str(certificate.key)}
    settings = {
        "uplink": {"addr": f"127.0.0.1:{site.redis.port}"},
        "listen": listen,
        "admin": {"addr": f"127.0.0.1:{admin_port}"},
        "limits": {"max_clients": MAX_CLIENTS},
        "workers": workers,
    }
    file = site.folder / f"{name}.json"
    file.write_text(json.dumps(settings))
    run = "from twisted.scripts.twistd import run; run()"
    variables = [f"{key}={value}" for key, value in (environment or {}).items()]
    python = ["env", *variables, *under, sys.executable]
    arguments = [*python, "-c", run, "-n", "--pidfile=", "redisproxy", "-c", str(file)]
    process = site.processes.start(name, arguments, port, site.folder, str(ROOT), deadline_s)
    return Peer(name, port, process, password, certificate, admin_port, _capacity(site, 1))


_HAPROXY = """global
    nbthread 1
    maxconn {maxconn}
    ssl-default-bind-options ssl-min-ver {version}
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen redis
    bind 127.0.0.1:{port}{tls}
    server redis 127.0.0.1:{redis}
"""


def _haproxy(name: str, site: Site) -> Peer:
    (port,) = free_ports(1)
    certificate = _certificate(name, site)
    text = _HAPROXY.format(
        port=port, redis=site.redis.port, maxconn=_capacity(site, 2), version=TLS_VERSION,
        tls=f" ssl crt {certificate.both}" if certificate else "",
    )  # fmt: skip
    file = site.folder / f"{name}.cfg"
    file.write_text(text)
    process = site.processes.start(name, [program("haproxy"), "-db", "-f", str(file)], port, site.folder)
    return Peer(name, port, process, certificate=certificate, capacity=_capacity(site, 2))


_TWEMPROXY = """bench:
  listen: 127.0.0.1:{port}
  redis: true
  hash: fnv1a_64
  distribution: modula
  servers:
   - 127.0.0.1:{redis}:1
"""


def _twemproxy(name: str, site: Site) -> Peer:
    port, stats_port = free_ports(2)
    file = site.folder / f"{name}.yml"
    file.write_text(_TWEMPROXY.format(port=port, redis=site.redis.port))
    arguments = [program("nutcracker"), "-c", str(file), "-a", "127.0.0.1", "-s", str(stats_port)]
    process = site.processes.start(name, arguments, port, site.folder)
    return Peer(name, port, process, capacity=_capacity(site, 1))


def _capacity(site: Site, files_per_client: int) -> int:
    return min(MAX_CLIENTS, (site.files - _RESERVED_FILES) // files_per_client)


def _certificate(name: str, site: Site) -> Certificate | None:
    return site.certificate if name.endswith("-tls") else None


PEERS: dict[str, Callable[[str, Site], Peer]] = {
    "direct": _direct,
    "redisproxy": redisproxy,
    "haproxy": _haproxy,
    "twemproxy": _twemproxy,
    "redisproxy-tls": redisproxy,
    "haproxy-tls": _haproxy,
}
