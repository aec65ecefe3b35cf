"""The load beside which a client's waits are measured; a process of its own, so that it takes nothing from the clock.

It connects, says so in one line, begins when a line comes in, and goes on until its input ends.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
from dataclasses import dataclass

from bench.cells import BIG_BYTES
from bench.wire import Connection, encode

BIG_KEY = b"bench:big"
PASSWORD_IN = "REDISPROXY_BENCH_PASSWORD"
CLIENTS, ASKS = 20, 200
SCRIPT_US = 50_000
_SCRIPT = (
    "local t = redis.call('TIME') repeat local n = redis.call('TIME')"
    f" until (n[1] - t[1]) * 1000000 + n[2] - t[2] >= {SCRIPT_US} return 7"
)
_RECEIVE_BYTES = 262_144


@dataclass(frozen=True)
class Flood:
    """Clients that each send `burst`; those that read send it again once they have got `reply_bytes`."""

    clients: int
    burst: bytes
    reply_bytes: int
    reads: bool = True


_BIG_BURST = encode(b"GET", BIG_KEY) * ASKS
_BIG_REPLY_BYTES = ASKS * (len(b"$%d\r\n\r\n" % BIG_BYTES) + BIG_BYTES)

# What Redis holds of replies that are not read: 400 MB.
FLOODS = {
    "unread": Flood(CLIENTS, _BIG_BURST, _BIG_REPLY_BYTES, reads=False),
    "read": Flood(CLIENTS, _BIG_BURST, _BIG_REPLY_BYTES),
    "script": Flood(1, encode(b"EVAL", _SCRIPT.encode(), b"1", BIG_KEY), len(b":7\r\n")),
}


def run(flood: Flood, port: int, password: str) -> None:
    """Flood until the standard input ends."""
    clients = [Connection(port, password).socket for _ in range(flood.clients)]
    print("ready", flush=True)
    sys.stdin.readline()
    left = dict.fromkeys(clients, 0)
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        for client in clients:
            if flood.reads:
                selector.register(client, selectors.EVENT_READ)
            _ask(flood, client, left)
        while ready := selector.select():
            if any(key.fileobj is sys.stdin for key, _ in ready):
                return
            for key, _ in ready:
                assert isinstance(key.fileobj, socket.socket)
                _read(flood, key.fileobj, left)


def _ask(flood: Flood, client: socket.socket, left: dict[socket.socket, int]) -> None:
    left[client] += flood.reply_bytes
    client.sendall(flood.burst)


def _read(flood: Flood, client: socket.socket, left: dict[socket.socket, int]) -> None:
    got = client.recv(_RECEIVE_BYTES)
    if not got:
        raise SystemExit("a client of the load was disconnected")
    if got.startswith(b"-") and left[client] == flood.reply_bytes:
        raise SystemExit(f"the load was answered {got[:200]!r}")
    left[client] -= len(got)
    if left[client] <= 0:
        _ask(flood, client, left)


if __name__ == "__main__":
    run(FLOODS[sys.argv[1]], int(sys.argv[2]), os.environ.get(PASSWORD_IN, ""))
