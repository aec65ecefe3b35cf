"""What the process does on signals: SIGHUP reloads, SIGUSR2 upgrades; SIGTERM and SIGINT stop the reactor, and the
exit code is 0.

A second SIGTERM or SIGINT ends the wait for clients to leave.

Twisted installs no SIGHUP handler (the default action kills the process and leaves its pidfile), and after a SIGTERM
twistd kills itself with the same signal once it has stopped in order, which looks like a crash to whoever started it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any


class Signals:
    """Our handlers while the service runs.

    @param reload: called in the reactor thread for a SIGHUP. @param upgrade: for a SIGUSR2.
    @param hurry: called there for a SIGTERM or SIGINT after the first one.
    """

    def __init__(
        self, reactor: Any, reload: Callable[[], None], upgrade: Callable[[], None], hurry: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._reload = reload
        self._upgrade = upgrade
        self._hurry = hurry
        self._stopping = False
        self._old: dict[int, Any] = {}

    def install(self) -> None:
        """Take the signals. Those that Twisted takes when the reactor starts are taken after that."""
        self._take(signal.SIGHUP, self._reload)
        self._take(signal.SIGUSR2, self._upgrade)
        self._reactor.callWhenRunning(self._reactor.callLater, 0, self._take_stop)

    def _take_stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._take(number, self._stop)

    def _take(self, number: int, call: Callable[[], None]) -> None:
        def handler(signum: int, frame: FrameType | None) -> None:
            self._reactor.callFromThread(call)

        try:
            self._old[number] = signal.signal(number, handler)
        except ValueError:
            return  # not the main thread, where there are no signals

    def _stop(self) -> None:
        if self._stopping:
            self._hurry()
        else:
            self._stopping = True
            self._reactor.stop()

    def restore(self) -> None:
        """Give SIGHUP and SIGUSR2 back. The others stay ours until the process ends: a second one must not kill it
        half-way."""
        for number in (signal.SIGHUP, signal.SIGUSR2):
            old = self._old.pop(number, None)
            if old is not None:
                signal.signal(number, old)
