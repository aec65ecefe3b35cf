"""The process of a worker, as the control process sees it: one that it has started, or one that it has found."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from redisproxy.workers.log_pipe import Lines, event_in

if TYPE_CHECKING:
    from redisproxy.workers.process import Beginning

_MAIN = "from redisproxy.workers.process import main; main()"
READ_BYTES = 65536


class WorkerProcess(Protocol):
    """What there is of either kind.

    @ivar pid: its process id.
    """

    pid: int

    def kill(self) -> None:
        """End it at once."""


class Log:
    """Writes the lines of one worker to the log of this process."""

    log = Logger(namespace="redisproxy.workers")

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines = Lines()

    def add(self, data: bytes) -> None:
        """Some bytes of its log."""
        for line in self._lines.add(data):
            level, text = event_in(line)
            self.log.emit(level, "{name}: {line}", name=self._name, line=text)


class Child(ProcessProtocol):
    """Implements L{WorkerProcess}: one that this process starts.

    @param on_up: called when it says that it is. @param on_end: called once, with how it has ended.
    """

    def __init__(
        self,
        beginning: Beginning,
        reactor: Any,
        on_up: Callable[[], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._log = Log(f"worker {beginning.number}")
        self._on_up, self._on_end = on_up, on_end
        code = f"import sys; sys.path[:] = {sys.path!r}; {_MAIN}"
        arguments = [sys.executable, "-P", "-c", code, f"redisproxy-worker-{beginning.number}"]
        pipes: Any = {0: "w", 1: "r", 2: "r"}
        self._process = reactor.spawnProcess(self, sys.executable, arguments, env=None, childFDs=pipes)
        self._process.writeToChild(0, beginning.to_bytes())
        self._process.closeChildFD(0)
        self.pid: int = self._process.pid

    def kill(self) -> None:
        with suppress(ProcessExitedAlready):
            self._process.signalProcess(signal.SIGKILL)

    def outReceived(self, data: bytes) -> None:
        """Part of C{IProcessProtocol}."""
        self._on_up()

    def errReceived(self, data: bytes) -> None:
        """Part of C{IProcessProtocol}."""
        self._log.add(data)

    def processEnded(self, reason: Failure) -> None:
        """Part of C{IProcessProtocol}."""
        status: Any = reason.value
        sent = getattr(status, "signal", None)
        self._on_end(f"signal {sent}" if sent is not None else f"exit code {status.exitCode}")


@implementer(IReadDescriptor)
class Found:
    """Implements L{WorkerProcess}: one that an earlier control process has started.

    @param on_end: called once, when it has ended; how can't be known.
    """

    def __init__(self, pid: int, reactor: Any, on_end: Callable[[str], None]) -> None:
        """
        @raise ProcessLookupError: it has ended already.
        """
        self.pid = pid
        self._on_end = on_end
        self._reactor = reactor
        self._handle = os.pidfd_open(pid)
        reactor.addReader(self)

    def kill(self) -> None:
        if self._handle >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def fileno(self) -> int:
        return self._handle

    def logPrefix(self) -> str:
        return "redisproxy worker"

    def connectionLost(self, reason: Failure) -> None:
        """Part of C{IReadDescriptor}: the reactor gives its readers up when it ends."""

    def doRead(self) -> None:
        """Part of C{IReadDescriptor}: the handle of a process that has ended can be read."""
        self._reactor.removeReader(self)
        os.close(self._handle)
        self._handle = -1
        self._on_end("how can't be told, because an earlier control process has started it")


@implementer(IReadDescriptor)
class LogReader:
    """Reads what a worker logs to a pipe.

    @ivar far: the worker's end; to be closed here when it has that.
    """

    def __init__(self, name: str, reactor: Any) -> None:
        self._near, self.far = os.pipe()
        os.set_blocking(self._near, False)
        self._log = Log(name)
        self._reactor = reactor
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._near

    def logPrefix(self) -> str:
        return "redisproxy log of a worker"

    def doRead(self) -> None:
        """Part of C{IReadDescriptor}."""
        try:
            data = os.read(self._near, READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._log.add(data)
        else:
            self.close()

    def connectionLost(self, reason: Failure) -> None:
        """Part of C{IReadDescriptor}: the reactor gives its readers up when it ends."""

    def close(self) -> None:
        """Read no more."""
        if self._near >= 0:
            self._reactor.removeReader(self)
            os.close(self._near)
            self._near = -1
