"""Kills the old primary at the moment when the new one is promoted: a crash at the worst time."""

from __future__ import annotations

import signal
import threading
import time

from redisproxy.resp import encode_command
from redisproxy.switch_test.processes import RedisServer

LOOK_S = 0.0005


class PrimaryKiller:
    """Polls the role of the new server, and kills the old one as soon as the new one is no replica any more.

    @ivar killed: the old server was killed.
    """

    def __init__(self, old: RedisServer, new: RedisServer) -> None:
        self._old, self._new = old, new
        self._stop = threading.Event()
        self.killed = False
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        followed = False
        try:
            with self._new.connect() as sock:
                while not self._stop.is_set():
                    sock.sendall(encode_command("ROLE"))
                    replica = b"slave" in sock.recv(65536)
                    followed = followed or replica
                    if followed and not replica:
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
