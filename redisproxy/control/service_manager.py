"""Tells the service manager that has started the process how it is doing, as sd_notify(3) of systemd has it.

One datagram for each message, to the Unix socket that C{NOTIFY_SOCKET} names. Without one nothing is sent. A message
that can't be sent is logged, and changes nothing else.

A service manager that keeps watch (C{WatchdogSec=}) is told again and again that the process still works, from the
moment that it serves: one that hangs is ended and started anew.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, MutableMapping

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

SEND_LIMIT_S = 1.0
SIGNS_OF_LIFE = 3
"""So many in the time after which the service manager loses its patience."""


class ServiceManager:
    """The service manager, if there is one.

    @param path: of its socket; one in the abstract namespace begins with C{@}. Empty: there is none.
    @param patience_s: after so long without a sign of life it ends the process; None: never.
    """

    log = Logger(namespace="redisproxy")

    def __init__(self, path: str = "", patience_s: float | None = None, clock: IReactorTime | None = None) -> None:
        self._path = path
        self._patience_s = patience_s
        self._signs = LoopingCall(self._send, "WATCHDOG=1")
        if clock is not None:
            self._signs.clock = clock

    @classmethod
    def take(cls, environ: MutableMapping[str, str], clock: IReactorTime) -> ServiceManager:
        """The one that `environ` names, which is removed there, so that no other process takes itself for this one."""
        told = {name: environ.pop(name, "") for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")}
        return cls(told["NOTIFY_SOCKET"], _patience_s(told), clock)

    def ready(self, status: str = "") -> None:
        """The process serves; after L{reloading}: the reload is over.

        @param status: what C{systemctl status} shows, in one line.
        """
        if self._patience_s is not None and not self._signs.running:
            self._signs.start(self._patience_s / SIGNS_OF_LIFE)
        self._send("READY=1", f"MAINPID={os.getpid()}", f"STATUS={' '.join(status.split())}")

    def reloading(self) -> None:
        """A reload begins. The time is the one at which systemd knows it for that which it has asked for."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, longest_s: float) -> None:
        """The process ends, which takes so long at the most; systemd waits for at least that long."""
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(longest_s * 1_000_000)}", "STATUS=shutting down")

    @property
    def environment(self) -> dict[str, str]:
        """What a process of which it is the service manager, too, has to be started with."""
        watchdog = {} if self._patience_s is None else {"WATCHDOG_USEC": str(int(self._patience_s * 1_000_000))}
        return {"NOTIFY_SOCKET": self._path, **watchdog} if self._path else {}

    def succeeded_by(self, pid: int) -> None:
        """Process `pid` is the service from now on, and this one tells no more. Nobody else may say so."""
        self._send(f"MAINPID={pid}", "READY=1", "STATUS=running")
        self._path = ""
        if self._signs.running:
            self._signs.stop()

    def _send(self, *lines: str) -> None:
        if not self._path:
            return
        address = f"\0{self._path[1:]}" if self._path.startswith("@") else self._path
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(SEND_LIMIT_S)
                sender.sendto("\n".join(lines).encode(), address)
        except (OSError, ValueError) as error:
            text = "{line} could not be sent to the service manager at {path}: {error}"
            self.log.warn(text, line=lines[0], path=self._path, error=str(error))


def _patience_s(told: Mapping[str, str]) -> float | None:
    """See sd_watchdog_enabled(3): none is wanted of a process that is not meant."""
    usec, pid = told["WATCHDOG_USEC"], told["WATCHDOG_PID"]
    meant = told["NOTIFY_SOCKET"] and pid in ("", str(os.getpid()))
    return int(usec) / 1_000_000 if meant and usec.isdigit() and 0 < int(usec) < 10**12 else None
