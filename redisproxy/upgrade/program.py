"""The program that takes this one's place: its process, and what it prints until it is ready."""

from __future__ import annotations

import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.upgrade.inheritance import Inheritance
from redisproxy.upgrade.origin import CommandLine
from redisproxy.workers.log_pipe import Lines

if TYPE_CHECKING:
    from redisproxy.net.listening import ListeningSocket

FIRST_DESCRIPTOR = 3
KEPT_LINES = 20
"""Of what it has printed, for the answer when it does not start."""


class Program(ProcessProtocol):
    """The process of the program.

    @ivar pid: of the process that was started; a daemon is a child of it.
    @ivar ended: fires when that process has ended and what it has printed has been read: how it ended, and None for a
        daemon's, which ends as soon as the daemon runs.
    """

    log = Logger(namespace="redisproxy.upgrade")

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()
        self.how = ""
        self._lines = Lines()
        self._last: deque[str] = deque(maxlen=KEPT_LINES)
        self._process: Any = None

    @property
    def pid(self) -> int:
        """Of the process that was started; a daemon is a child of it."""
        pid: int = self._process.pid
        return pid

    @property
    def printed(self) -> str:
        """The last lines that it has printed before it was ready."""
        return "\n".join(self._last)

    def start(self, reactor: Any, command: CommandLine, sockets: Sequence[ListeningSocket]) -> socket.socket:
        """Start it; this end of the link to it.

        @raise OSError: there is no such program, or no process to be had.
        """
        ours, theirs = socket.socketpair()
        with theirs, open(os.devnull, "r+b", buffering=0) as null:
            out = [each if _is_open(each) else null.fileno() for each in (1, 2)]
            passed = [theirs.fileno(), *out, *(each.listening.fileno() for each in sockets)]
            numbers = range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + len(passed))
            link, out_, err, *rest = numbers
            names = [each.name for each in sockets]
            inheritance = Inheritance(os.getpid(), link, (out_, err), tuple(zip(rest, names, strict=True)))
            self._process = reactor.spawnProcess(
                self,
                command.arguments[0],
                list(command.arguments),
                env={**os.environ, **command.environment, **inheritance.variable},
                path=command.folder,
                childFDs={0: null.fileno(), 1: "r", 2: "r", **dict(zip(numbers, passed, strict=True))},
            )
        return ours

    def kill(self) -> None:
        """End the process that was started at once."""
        with suppress(ProcessExitedAlready):
            self._process.signalProcess(signal.SIGKILL)

    # -- what Twisted tells

    def outReceived(self, data: bytes) -> None:
        for line in self._lines.add(data):
            self._last.append(line)
            self.log.info("the new process: {line}", line=line)

    errReceived: Callable[[Any, bytes], None] = outReceived  # type: ignore[assignment]

    def processExited(self, reason: Failure) -> None:
        status: Any = reason.value
        sent = getattr(status, "signal", None)
        self.how = f"signal {sent}" if sent is not None else f"exit code {status.exitCode}"

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(None)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
