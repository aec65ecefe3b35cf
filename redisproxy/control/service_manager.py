"""Tells the service manager that has started the process how it is doing, as sd_notify(3) of systemd has it.

One datagram for each message, to the Unix socket that C{NOTIFY_SOCKET} names. Without one nothing is sent. A message
that can't be sent is logged, and changes nothing else.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

from twisted.logger import Logger

SEND_LIMIT_S = 1.0


class ServiceManager:
    """The service manager, if there is one.

    @param path: of its socket; one in the abstract namespace begins with C{@}. Empty: there is none.
    """

    log = Logger(namespace="redisproxy")

    def __init__(self, path: str = "") -> None:
        self._path = path

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> ServiceManager:
        """The one that `environ` names, which is removed there, so that no other process takes itself for this one."""
        return cls(environ.pop("NOTIFY_SOCKET", ""))

    def ready(self, status: str = "") -> None:
        """The process serves; after L{reloading}: the reload is over.

        @param status: what C{systemctl status} shows, in one line.
        """
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
        return {"NOTIFY_SOCKET": self._path} if self._path else {}

    def succeeded_by(self, pid: int) -> None:
        """Process `pid` is the service from now on, and this one tells no more. Nobody else may say so."""
        self._send(f"MAINPID={pid}", "READY=1", "STATUS=running")
        self._path = ""

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
