"""File descriptors of simulated connections: real ones, so that C{os.close} and C{os.dup} are what they are.

Each stands for the socket of one connection. It is one end of a real pair of sockets, whose other end shows when every
copy of it is closed: then the connection ends, unless a transport has gone on with it.
"""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.network import End, Net

LOOK_S = 0.02


class Descriptors:
    """All of one simulated machine.

    @ivar on_closed: called with the end of a connection of which nobody has a descriptor any more.
    """

    def __init__(self, net: Net) -> None:
        self._net = net
        self._known: dict[int, tuple[socket.socket, End]] = {}
        self._holders: dict[int, tuple[object, int]] = {}
        self._looking = False
        self.on_closed: Callable[[End], None] = lambda end: None

    def __len__(self) -> int:
        """How many connections have a descriptor that is open anywhere."""
        self.look()
        return len(self._known)

    def make(self, end: End, holder: object) -> int:
        """A descriptor for the socket of this end, in the process `holder`."""
        near, far = socket.socketpair()
        far.setblocking(False)
        descriptor = near.detach()
        self._known[_inode(descriptor)] = far, end
        self.hold(descriptor, holder)
        self._look_soon()
        return descriptor

    def hold(self, descriptor: int, holder: object) -> None:
        """It is one of this process, and is closed with it."""
        self._holders[descriptor] = holder, _inode(descriptor)

    def adopt(self, descriptor: int) -> End:
        """The end whose socket this is, at which a transport goes on; the descriptor is closed."""
        end = self._known[_inode(descriptor)][1]
        os.close(descriptor)
        return end

    def close_those_of(self, holder: object) -> None:
        """The process has ended."""
        for descriptor, (who, inode) in list(self._holders.items()):
            if who is holder:
                del self._holders[descriptor]
                if _inode(descriptor) == inode:
                    _park(descriptor)
        self.look()

    def _look_soon(self) -> None:
        if not self._looking:
            self._looking = True
            self._net.clock.at(LOOK_S, self._look_again)

    def _look_again(self) -> None:
        self._looking = False
        self.look()
        if self._known:
            self._look_soon()

    def look(self) -> None:
        """End the connections of which nobody has a descriptor any more."""
        for inode, (watch, end) in list(self._known.items()):
            if _is_open(watch):
                continue
            watch.close()
            del self._known[inode]
            self.on_closed(end)
            end.let_go()

    def close(self) -> None:
        """The machine is gone."""
        for holder in {id(who): who for who, _ in self._holders.values()}.values():
            self.close_those_of(holder)
        for watch, _ in self._known.values():
            watch.close()
        self._known.clear()


_parked: list[int] = []
MOST_PARKED = 200


def _park(descriptor: int) -> None:
    """Close it, and give its number to nobody yet: code of the process that has ended may close it once more.

    That is what Python makes of coroutines that nobody goes on with, whenever it finds them.
    """
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), descriptor)
    _parked.append(descriptor)


def clear_away() -> None:
    """Worlds are over: let go of what they have left, now and then."""
    if len(_parked) >= MOST_PARKED:
        gc.collect()
        nothing = os.stat(os.devnull).st_ino
        for descriptor in _parked:
            if _inode(descriptor) == nothing:
                os.close(descriptor)
        _parked.clear()


def _inode(descriptor: int) -> int:
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return 0


def _is_open(watch: socket.socket) -> bool:
    try:
        return watch.recv(1) != b""
    except BlockingIOError:
        return True
