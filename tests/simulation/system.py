"""What the proxy's processes ask of the system beyond their reactor: run directories, the lives of other processes.

Each stands in the place of a class of the proxy that asks Linux; see L{in_a_process} and L{of_the_machine}.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from redisproxy import service
from redisproxy.dataplane import garbage_collection
from redisproxy.remote import run_directory
from redisproxy.remote.run_directory import RunDirectory
from redisproxy.workers import driven, finding, links, process
from redisproxy.workers.driven import Driven
from tests.simulation.processes import Machine, Process

if TYPE_CHECKING:
    from redisproxy.workers.orders import Introduction


class Directory(RunDirectory):
    """A run directory, in which this process gives names that a seed repeats."""

    def __init__(self, path: str, process: Process) -> None:
        super().__init__(path)
        self._process = process
        self._numbers = count(1)

    def new_name(self, of: str) -> str:
        return f"{of}-{self._process.pid}-{next(self._numbers)}"

    def retired_for_s(self, name: str) -> float:
        retired, now = self._process.machine.retired, self._process.reactor.seconds()
        return now - retired.setdefault(name, now)


class ProcessAtOtherEnd:
    """Implements C{remote.other_end.OtherEnd}."""

    def __init__(self, link: Any) -> None:
        self._process: Process = link.transport.peer.process

    def lives(self) -> bool:
        return self._process.alive

    def close(self) -> None: ...


class Found:
    """Implements C{workers.processes.WorkerProcess}: one that this process has not started."""

    def __init__(self, pid: int, reactor: Any, on_end: Callable[[str], None]) -> None:
        self.pid = pid
        machine: Machine = reactor.machine
        self._process = machine.processes[pid]
        if not self._process.alive:
            raise ProcessLookupError(pid)
        self._process.seen_by(reactor.process, lambda: on_end("how can't be told"))

    def kill(self) -> None:
        self._process.kill()


class LogReader:
    """Has the interface of C{workers.processes.LogReader}; nobody reads logs here."""

    def __init__(self, name: str, reactor: Any) -> None:
        self.far = os.open(os.devnull, os.O_WRONLY)


def _introduced(self: Driven) -> Introduction:
    """A data plane tells the simulated number of its process."""
    return replace(_introduce(self), pid=self._reactor.pid)


_introduce = Driven._introduce


@contextmanager
def in_a_process() -> Iterator[None]:
    """While this is entered, parts of a process are made: it takes these from the interpreter that it runs in."""
    with (
        patch.object(service, "best_network", lambda reactor: reactor.network),
        patch.object(process, "best_network", lambda reactor: reactor.network),
        patch.object(garbage_collection, "leave_out_what_there_is", lambda: None),
    ):
        yield


@contextmanager
def of_the_machine(machine: Machine) -> Iterator[None]:
    """While this is entered, a world plays: what its processes ask the system for, the machine answers."""
    with (
        patch.object(run_directory, "_listens", lambda path: path in machine.sockets),
        patch.object(driven, "_log_to", lambda descriptor: os.close(descriptor)),
        patch.object(driven, "ProcessAtOtherEnd", ProcessAtOtherEnd),
        patch.object(Driven, "_introduce", _introduced),
        patch.object(finding, "Found", Found),
        patch.object(links, "pid_at_other_end", lambda end: end.peer.process.pid),
        patch.object(run_directory, "_pid_behind", lambda path: machine.sockets[path].process.pid),
        patch.object(finding, "LogReader", LogReader),
    ):
        yield
