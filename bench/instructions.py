"""`python -m bench.instructions`: how many instructions figures add to a command, as valgrind's callgrind counts them.

CPU times on a machine that does other things, too, differ from run to run by more than figures cost; instructions do
not. What is counted is the loop that carries commands (`Hub.doRead` of the compiled twin), without what timers do. So
that the commands of all clients arrive together every time, the proxy is stopped while they are sent.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench import certificate
from bench.errors import BenchError
from bench.load import KEY
from bench.peers import Peer, Site, program, redisproxy, start_redis
from bench.processes import Processes, raise_file_limit
from bench.unmeasured import OFF
from bench.wire import Connection, encode

LOADS = ((1, 5_000), (50, 400))
"""Clients, and how many commands of each."""
DEADLINE_S = 300.0
CARRIES = "__pyx_pw_*3Hub_*doRead"
UNDER = ("--tool=callgrind", "--instr-atstart=no", f"--toggle-collect={CARRIES}")


def main() -> None:
    """Print the instructions of a command for each number of clients, with figures and without."""
    with tempfile.TemporaryDirectory(prefix="redisproxy-bench-") as folder, Processes() as processes:
        files = raise_file_limit()
        redis = start_redis(processes, Path(folder), files)
        site = Site(processes, Path(folder), redis, certificate.make(Path(folder)), files)
        with Connection(redis.port) as at_redis:
            at_redis.ask(b"SET", KEY, b"xxx")
        for clients, rounds in LOADS:
            measured, not_measured = (_counted(site, clients, rounds, taken) for taken in (True, False))
            more = measured - not_measured
            print(f"{clients:>3} clients: {measured:,.0f} with figures, {not_measured:,.0f} without; {more:,.0f} more")


def _counted(site: Site, clients: int, rounds: int, measured: bool) -> float:
    """Instructions for each command."""
    under = (program("valgrind"), *UNDER)
    name = f"redisproxy-{clients}-{measured}"
    peer = redisproxy(name, site, environment={} if measured else OFF, under=under, deadline_s=DEADLINE_S)
    few = rounds // 10
    _control(peer, "-i", "on")
    # What is made when it is first used is in the first lot, and connecting in the others alike.
    _, less, more = (_lot(peer, site.folder, clients, each) for each in (few, few, rounds))
    os.kill(_pid(peer), signal.SIGTERM)
    return (more - less) / (clients * (rounds - few))


def _lot(peer: Peer, folder: Path, clients: int, rounds: int) -> int:
    _control(peer, "-z")
    with ExitStack() as stack:
        connections = [stack.enter_context(peer.connect()) for _ in range(clients)]
        for _ in range(rounds):
            os.kill(_pid(peer), signal.SIGSTOP)
            for connection in connections:
                connection.socket.sendall(encode(b"GET", KEY))
            os.kill(_pid(peer), signal.SIGCONT)
            for connection in connections:
                connection.reply()
    _control(peer, "-d")
    dumps = folder.glob(f"callgrind.out.{_pid(peer)}.*")
    return total(max(dumps, key=lambda path: path.stat().st_mtime_ns).read_text())


def total(dump: str) -> int:
    """All instructions in a dump of callgrind. Raises BenchError when it says nothing of them."""
    found = re.search(r"^(?:totals|summary): (\d+)", dump, re.MULTILINE)
    if found is None:
        raise BenchError("callgrind has counted nothing")
    return int(found[1])


def _control(peer: Peer, *order: str) -> None:
    subprocess.run([program("callgrind_control"), *order, str(_pid(peer))], check=True, stdout=subprocess.DEVNULL)


def _pid(peer: Peer) -> int:
    assert peer.process is not None
    return peer.process.pid


if __name__ == "__main__":
    main()
