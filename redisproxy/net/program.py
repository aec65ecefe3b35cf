"""A program that an operator has configured, run within bounds: no shell, a deadline, little of its output.

It leads a session of its own. At its end, at the deadline, when nobody waits for it any more and when the reactor ends,
everything that is in its process group still is killed, so that a hook that has failed does nothing afterwards.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

READ_BYTES = 65536
LAST_READS = 16
"""How often what it has printed last is read when it has ended: what it has left behind may go on to print."""
KEPT_ERRORS = 1024


class ProgramFailed(Exception):
    """The program could not be started, or has failed; C{str()} says how, with nothing of its output."""


@dataclass(frozen=True)
class Ended:
    """How a program has ended.

    @ivar how: C{exit code 1} or C{signal 9}; empty when all is well. @ivar late: it was killed at the deadline.
    @ivar output: the beginning of what it has printed. @ivar cut: there was more.
    @ivar errors: the end of what it has printed to its standard error.
    """

    how: str
    late: bool
    output: bytes
    cut: bool
    errors: bytes


def run(
    reactor: Any, command: Sequence[str], limit_s: float, stdin: bytes = b"", max_output: int = READ_BYTES
) -> Deferred[Ended]:
    """Run a program; fire when it has ended. Cancelling kills it. Fails with L{ProgramFailed}: it can't be started.

    @param command: the program and its arguments.
    @param limit_s: it is killed when it takes longer.
    @param stdin: what it finds on its standard input.
    @param max_output: so many bytes of its output are kept; the rest is thrown away.
    """
    try:
        return _Running(reactor, command, limit_s, stdin, max_output).ended
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        why = getattr(error, "strerror", None) or str(error)
        return fail(ProgramFailed(f"{command[0]} can't be started: {why}"))


class _Running:
    """One run."""

    def __init__(self, reactor: Any, command: Sequence[str], limit_s: float, stdin: bytes, max_output: int) -> None:
        self.ended: Deferred[Ended] = Deferred(lambda _: self._kill())
        self._reactor = reactor
        self._late = False
        self._output, self._errors = _Kept(max_output), _Last(KEPT_ERRORS)
        with _file_of(stdin) as given:
            self._process = subprocess.Popen(
                list(command),
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        try:
            _End(os.pidfd_open(self._process.pid), self._has_ended, self._kill, reactor)
        except OSError:
            self._kill()
            self._process.wait()
            raise
        pipes = (self._process.stdout, self._output.add), (self._process.stderr, self._errors.add)
        self._readers = [_Pipe(pipe, add, reactor) for pipe, add in pipes]
        self._deadline = reactor.callLater(limit_s, self._too_late)

    def _too_late(self) -> None:
        self._late = True
        self._kill()

    def _kill(self) -> None:
        """Kill it and what it has started; its process id is not another's before it is waited for."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _has_ended(self) -> None:
        self._kill()
        code = self._process.wait()
        if self._deadline.active():
            self._deadline.cancel()
        for reader in self._readers:
            reader.close()
        how = f"signal {-code}" if code < 0 else f"exit code {code}" if code else ""
        ended = Ended(how, self._late, self._output.data, self._output.cut, self._errors.data)
        if not self.ended.called:
            self.ended.callback(ended)


def _file_of(content: bytes) -> Any:
    """An open file with `content`, so that nobody waits for a program that does not read."""
    file = os.fdopen(os.memfd_create("redisproxy"), "r+b", buffering=0)
    file.write(content)
    file.seek(0)
    return file


class _Kept:
    """The beginning of an output."""

    def __init__(self, most: int) -> None:
        self.data, self.cut = b"", False
        self._most = most

    def add(self, data: bytes) -> None:
        self.cut = self.cut or len(self.data) + len(data) > self._most
        self.data += data[: self._most - len(self.data)]


class _Last:
    """The end of an output."""

    def __init__(self, most: int) -> None:
        self.data = b""
        self._most = most

    def add(self, data: bytes) -> None:
        self.data = (self.data + data)[-self._most :]


class _Reader:
    """Part of C{IReadDescriptor}: a descriptor that the reactor watches."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        reactor.addReader(self)

    def logPrefix(self) -> str:
        return "redisproxy program"

    def connectionLost(self, reason: Failure) -> None:
        """Part of C{IReadDescriptor}: the reactor gives its readers up when it ends."""

    def stop(self) -> None:
        """Watch it no more."""
        self._reactor.removeReader(self)


@implementer(IReadDescriptor)
class _Pipe(_Reader):
    """Reads an output."""

    def __init__(self, pipe: Any, add: Callable[[bytes], None], reactor: Any) -> None:
        self._pipe = pipe
        self._add = add
        os.set_blocking(pipe.fileno(), False)
        super().__init__(reactor)

    def fileno(self) -> int:
        return -1 if self._pipe.closed else int(self._pipe.fileno())

    def doRead(self) -> None:
        """Part of C{IReadDescriptor}."""
        if not self._read():
            self.stop()

    def _read(self) -> bool:
        """Whether there may be more, now or later."""
        try:
            data = os.read(self._pipe.fileno(), READ_BYTES)
        except BlockingIOError:
            return True
        self._add(data)
        return bool(data)

    def close(self) -> None:
        """Take what is there, and read no more."""
        self.stop()
        for _ in range(LAST_READS):
            if not self._read():
                break
        self._pipe.close()


@implementer(IReadDescriptor)
class _End(_Reader):
    """Calls once when a process has ended, or when the reactor ends before it."""

    def __init__(self, handle: int, call: Callable[[], None], left: Callable[[], None], reactor: Any) -> None:
        self._handle = handle
        self._call = call
        self._left = left
        super().__init__(reactor)

    def fileno(self) -> int:
        return self._handle

    def doRead(self) -> None:
        """Part of C{IReadDescriptor}: the handle of a process that has ended can be read."""
        self.stop()
        os.close(self._handle)
        self._handle = -1
        self._call()

    def connectionLost(self, reason: Failure) -> None:
        """Part of C{IReadDescriptor}: nobody is there any more to kill it at its deadline."""
        self._left()
