"""Kills the old primary at the moment when the new one takes over: a crash at the worst time."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable

from redisproxy.resp import encode_command
from redisproxy.servers.copy_marker import MARKER, Marked
from redisproxy.switch_test.processes import RedisServer

LOOK_S = 0.0005


Ask = Callable[[bytes], bytes]


class WasPromoted:
    """Whether a server that was a replica is none any more; called again and again."""

    def __init__(self) -> None:
        self._followed = False

    def __call__(self, ask: Ask) -> bool:
        replica = b"slave" in ask(encode_command("ROLE"))
        self._followed = self._followed or replica
        return self._followed and not replica


def has_the_copy(ask: Ask) -> bool:
    """Whether a server that keys were copied to has all of them, and clients may come."""
    return Marked.COPIED.value.encode() in ask(encode_command("GET", MARKER))


class PrimaryKiller:
    """Looks at the new server, and kills the old one as soon as the new one has taken over.

    @ivar killed: the old server was killed.
    @param taken_over: tells that, with a function that asks the new server.
    """

    def __init__(self, old: RedisServer, new: RedisServer, taken_over: Callable[[Ask], bool]) -> None:
        self._old, self._new = old, new
        self._taken_over = taken_over
        self._stop = threading.Event()
        self.killed = False
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        try:
            with self._new.connect() as sock:
                while not self._stop.is_set():
                    if self._taken_over(lambda command: _answer(sock, command)):
                        self._kill()
                        return
                    time.sleep(LOOK_S)
        except OSError:
            return  # the new server has gone: the switchover tells

    def _kill(self) -> None:
        self._old.end(signal.SIGKILL)
        self.killed = True

    def end(self) -> None:
        """Stop polling: the switchover is over."""
        self._stop.set()
        self._thread.join()


def _answer(sock: socket.socket, command: bytes) -> bytes:
    sock.sendall(command)
    return sock.recv(65536)
