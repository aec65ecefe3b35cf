"""The listening socket of the proxy, with the connections that nobody has accepted yet."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.network import End
    from tests.simulation.processes import Machine, Process


class Backlog:
    """Where clients connect. It is open for as long as a process has it, or whoever keeps it for them.

    @param kept: the service manager listens, and has processes accept (socket activation).
    @param refused: called with the end of each that can't connect, or is not accepted in the end.
    """

    def __init__(self, machine: Machine, kept: bool = False, refused: Callable[[End], None] = lambda end: None) -> None:
        self._machine = machine
        self._kept = kept
        self._refused = refused
        self._owners: set[Process] = set()
        self.waiting: list[End] = []

    def come(self, end: End) -> None:
        """Somebody connects."""
        if not (self._owners or self._kept):
            self._refused(end)
            end.die()
            return
        end.come()
        self.waiting.append(end)
        self._machine.readable()

    def of(self, process: Process) -> ListeningSocket:
        """As one process has it."""
        self._owners.add(process)
        self._machine.readable()
        return ListeningSocket(self, process)

    def accept(self, process: Process) -> socket.socket:
        """
        @raise BlockingIOError: nobody waits.
        """
        while self.waiting:
            end = self.waiting.pop(0)
            if not end.gone:
                return socket.socket(fileno=self._machine.net.descriptors.make(end, process))
        raise BlockingIOError

    def close(self) -> None:
        """Nobody listens any more, and nobody keeps it."""
        self._kept = False
        self._owners.clear()
        self._drop()

    def leave(self, process: Process) -> None:
        """This process does not listen any more."""
        self._owners.discard(process)
        if not (self._owners or self._kept):
            self._drop()

    def _drop(self) -> None:
        waiting, self.waiting = self.waiting, []
        for end in waiting:
            self._refused(end)
            end.let_go()


class ListeningSocket:
    """Has the interface of C{net.listening.ListeningSocket}, and of the copies that it makes."""

    def __init__(self, backlog: Backlog, process: Process) -> None:
        self._backlog = backlog
        self._process = process
        self._open = True
        self.name, self.of_another = "", False

    @property
    def listening(self) -> ListeningSocket:
        """The socket itself."""
        return self

    def copy(self) -> ListeningSocket:
        """Another descriptor of it."""
        return Copy(self._backlog, self._process)

    def close(self) -> None:
        """Listen no more."""
        self._backlog.leave(self._process)

    def leave(self) -> None:
        """Another process goes on with it."""
        self._backlog.leave(self._process)

    def fileno(self) -> int:
        return 0 if self._open else -1

    def accept(self) -> tuple[socket.socket, None]:
        return self._backlog.accept(self._process), None


class Copy(ListeningSocket):
    """What a port accepts from."""

    def close(self) -> None:
        """The port is closed."""
        self._open = False
