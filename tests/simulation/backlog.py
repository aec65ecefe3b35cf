"""The listening socket of the proxy, with the connections that nobody has accepted yet."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.network import End
    from tests.simulation.processes import Machine, Process


class Backlog:
    """Where clients connect. It is open for as long as its owner has it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._closed = False
        self.waiting: list[End] = []

    def come(self, end: End) -> None:
        """Somebody connects."""
        if self._closed:
            end.die()
            return
        end.come()
        self.waiting.append(end)
        self._machine.readable()

    def of(self, process: Process) -> ListeningSocket:
        """As one process has it."""
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
        """Nobody listens any more."""
        self._closed = True
        waiting, self.waiting = self.waiting, []
        for end in waiting:
            end.let_go()


class ListeningSocket:
    """Has the interface of C{net.listening.ListeningSocket}, and of the copies that it makes."""

    def __init__(self, backlog: Backlog, process: Process) -> None:
        self._backlog = backlog
        self._process = process
        self._open = True

    def copy(self) -> ListeningSocket:
        """Another descriptor of it."""
        return Copy(self._backlog, self._process)

    def close(self) -> None:
        """Listen no more."""
        self._backlog.close()

    def leave(self) -> None:
        """Another process goes on with it."""

    def fileno(self) -> int:
        return 0 if self._open else -1

    def accept(self) -> tuple[socket.socket, None]:
        return self._backlog.accept(self._process), None


class Copy(ListeningSocket):
    """What a port accepts from."""

    def close(self) -> None:
        """The port is closed."""
        self._open = False
