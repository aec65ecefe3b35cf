"""Hostile clients: whatever they do, nobody else may notice."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable

from tests.chaos.incidents import WRONG, Incidents
from tests.chaos.wire import Wire, packed

BIG = b"x" * 100_000
ENDED_S = 5.0
"""Who does not shake hands is disconnected within this time, or when a process that was stopped goes on."""


class Crowd:
    """Keeps some hostile clients at work, each with one trick, until told to stop.

    @ivar tricks: how often each has been played.
    @param stopped_until: until when a process of the proxy was stopped last, see C{time.monotonic}.
    """

    def __init__(
        self, port: int, tls_port: int, seed: int, incidents: Incidents, stopped_until: Callable[[], float]
    ) -> None:
        self._stopped_until = stopped_until
        self._port, self._tls_port = port, tls_port
        self._chance = random.Random(f"{seed} hostile")
        self._incidents = incidents
        self._home = threading.Event()
        self._threads: list[threading.Thread] = []
        self.tricks: dict[str, int] = {}

    def come(self, count: int) -> None:
        """Start `count` of them."""
        self._home.clear()
        self._threads = [threading.Thread(target=self._play, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def go(self) -> None:
        """Stop them."""
        self._home.set()
        for thread in self._threads:
            thread.join(30)
            if thread.is_alive():
                self._incidents.note(WRONG, "a hostile client hangs")

    def _play(self) -> None:
        while not self._home.is_set():
            trick: Callable[[], None] = self._chance.choice(
                [
                    self._flood,
                    self._stall_large_reply,
                    self._garbage,
                    self._half_a_command,
                    self._half_a_large_command,
                    self._byte_by_byte,
                    self._half_close,
                    self._reset_with_everything_in_flight,
                    self._blocked_and_gone,
                    self._open_multi_and_gone,
                    self._never_shake_hands,
                ]
            )
            self.tricks[trick.__name__.strip("_")] = self.tricks.get(trick.__name__.strip("_"), 0) + 1
            with contextlib.suppress(OSError):
                trick()

    def _rest(self, most_s: float) -> None:
        self._home.wait(self._chance.uniform(0, most_s))

    def _say(self, data: bytes, most_s: float = 0.5, reset: bool = False, port: int = 0) -> None:
        """Connect, send, wait, and leave without reading."""
        wire = Wire(port or self._port, 5)
        try:
            wire.socket.settimeout(1)
            wire.socket.sendall(data)
            self._rest(most_s)
        finally:
            wire.close(reset)

    def _flood(self) -> None:
        """Ask for far more than is ever read."""
        self._say(packed("SET", "hostile:big", BIG) + packed("GET", "hostile:big") * 300)

    def _stall_large_reply(self) -> None:
        self._say(packed("GET", "hostile:big") * 40, 1.0, reset=True)

    def _garbage(self) -> None:
        self._say(self._chance.randbytes(self._chance.randint(1, 5000)), 0.2)

    def _half_a_command(self) -> None:
        command = packed("SET", "hostile:half", "y" * 1000)
        self._say(command[: self._chance.randint(1, len(command) - 1)], 0.3, reset=self._chance.random() < 0.5)

    def _half_a_large_command(self) -> None:
        command = packed("SET", "hostile:half", BIG * 5)
        self._say(command[: self._chance.randint(300_000, 400_000)], 0.2, reset=self._chance.random() < 0.5)

    def _byte_by_byte(self) -> None:
        wire = Wire(self._port, 5)
        for byte in packed("SET", "hostile:slow", "value"):
            wire.socket.sendall(bytes([byte]))
            self._rest(0.01)
        wire.close()

    def _half_close(self) -> None:
        """Send, and say that nothing more will come: every reply comes all the same, then the end."""
        with contextlib.closing(Wire(self._port)) as wire:
            wire.socket.sendall(packed("PING") * 50)
            wire.socket.shutdown(socket.SHUT_WR)
            heard = bytearray()
            with contextlib.suppress(ConnectionResetError):
                while data := wire.socket.recv(65536):
                    heard += data
            if not (b"+PONG\r\n" * 50).startswith(heard) and b"-MASTERDOWN" not in heard and b"-LOADING" not in heard:
                self._incidents.note(WRONG, f"after a half-close came {bytes(heard[-100:])!r}")

    def _reset_with_everything_in_flight(self) -> None:
        self._say(packed("INCR", "hostile:count") * 500, 0.01, reset=True)

    def _blocked_and_gone(self) -> None:
        self._say(packed("BLPOP", "hostile:nothing", 0), 0.5, reset=self._chance.random() < 0.5)

    def _open_multi_and_gone(self) -> None:
        self._say(b"".join(packed(*each) for each in [("WATCH", "a"), ("MULTI",), ("INCR", "hostile:count")]), 0.3)

    def _never_shake_hands(self) -> None:
        """Begin a TLS handshake, or not even that: the proxy ends it."""
        with contextlib.closing(Wire(self._tls_port, ENDED_S)) as wire:
            wire.socket.sendall(b"\x16\x03\x01\x02\x00\x01"[: self._chance.randint(0, 6)])
            began = time.monotonic()
            while not self._ended(wire):
                took_s = time.monotonic() - max(began, self._stopped_until())
                if took_s >= ENDED_S:
                    self._incidents.note(WRONG, f"a TLS handshake may take longer than {took_s:.1f} s")
                    return

    def _ended(self, wire: Wire) -> bool:
        with contextlib.suppress(TimeoutError):
            wire.socket.recv(100)
            return True
        return False
