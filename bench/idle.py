"""Measures resident memory for each idle client: many connect, ask for one value each, and then keep still."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from bench.errors import BenchError
from bench.peers import CHECK_KEY, Peer
from bench.wire import encode

BATCH = 100
PER_SOURCE_ADDRESS = 5_000
TIMEOUT_S = 5.0
SETTLE_S = 1.0
# Closing with a reset leaves no TIME_WAIT behind, which would use up the ports.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_BIND_ADDRESS_NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)


@dataclass(frozen=True)
class Idle:
    """What `clients` idle clients cost the peer's process."""

    peer: str
    clients: int
    bytes_per_client: float
    at_start_bytes: int


def measure(peer: Peer, clients: int) -> Idle:
    """Measure a peer that was just started as a process of its own. Raises BenchError when a client is refused."""
    if peer.process is None:
        raise BenchError(f"{peer.name} has no process of its own")
    before = peer.process.resident_bytes()
    with ExitStack() as stack:
        for first in range(0, clients, BATCH):
            _open(peer, range(first, min(first + BATCH, clients)), stack)
        time.sleep(SETTLE_S)
        peer.process.check()
        after = peer.process.resident_bytes()
    return Idle(peer.name, clients, (after - before) / clients, before)


def _open(peer: Peer, numbers: range, stack: ExitStack) -> None:
    greeting = encode(b"AUTH", peer.password.encode()) if peer.password else b""
    value = peer.name.encode()
    wanted = (b"+OK\r\n" if peer.password else b"") + b"$%d\r\n%s\r\n" % (len(value), value)
    opened = [stack.enter_context(_connection(peer.port, number)) for number in numbers]
    for client in opened:
        client.sendall(greeting + encode(b"GET", CHECK_KEY))
    for client in opened:
        _expect(client, wanted, peer.name)


def _connection(port: int, number: int) -> socket.socket:
    client = socket.socket()
    client.settimeout(TIMEOUT_S)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    with suppress(OSError):
        client.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
    client.bind((f"127.0.0.{2 + number // PER_SOURCE_ADDRESS}", 0))
    client.connect(("127.0.0.1", port))
    return client


def _expect(client: socket.socket, wanted: bytes, name: str) -> None:
    got = b""
    while len(got) < len(wanted):
        try:
            chunk = client.recv(len(wanted) - len(got))
        except OSError as error:
            raise BenchError(f"{name}: no answer to an idle client: {error}") from error
        if not chunk:
            raise BenchError(f"{name} closed an idle client")
        got += chunk
    if got != wanted:
        raise BenchError(f"{name} answered {got!r} to an idle client")
