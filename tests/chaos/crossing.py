"""One port to which several processes connect, each over a relay of its own, so that each can be cut off alone."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.protocol import Factory
from twisted.internet.threads import blockingCallFromThread

from tests.chaos.relay import End, Relay

reactor: Any = global_reactor
ANY = 0xFFFFFFFF
SOCK_DIAG, BY_FAMILY, REQUEST = 4, 20, 1
HEADER_BYTES, INODE_AT = 16, 84


class Crossing(Factory[Any]):
    """Listens on a port of its own.

    @param relays: which relay serves whom: the function tells the number of the process that was started. Its
        children use the same.
    @param other: the relay for all others.
    """

    noisy = False

    def __init__(self, relays: list[tuple[Callable[[], int], Relay]], other: Relay) -> None:
        self._relays, self._other = relays, other
        self._port = blockingCallFromThread(reactor, reactor.listenTCP, 0, self, interface="127.0.0.1")
        self.port: int = self._port.getHost().port

    def buildProtocol(self, addr: Any) -> End:
        """Part of C{IProtocolFactory}."""
        inode = _inode(addr.port, self.port)
        return End(next((relay for pid, relay in self._relays if _has(pid(), inode)), self._other), replies=False)

    def close(self) -> None:
        """Listen no more."""
        blockingCallFromThread(reactor, self._port.stopListening)


def _inode(port: int, to: int) -> int:
    """Of the socket at this end of a loopback connection (sock_diag(7)); 0 when it is gone."""
    here = socket.inet_aton("127.0.0.1") + bytes(12)
    ends = struct.pack("!HH", port, to) + here + here + struct.pack("=III", 0, ANY, ANY)
    asked = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, ANY) + ends
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, SOCK_DIAG) as kernel:
        kernel.send(struct.pack("=IHHII", HEADER_BYTES + len(asked), BY_FAMILY, REQUEST, 1, 0) + asked)
        told = kernel.recv(4096)
    kind: int = struct.unpack_from("=H", told, 4)[0]
    return int(struct.unpack_from("=I", told, INODE_AT)[0]) if kind == BY_FAMILY else 0


def _has(pid: int, inode: int) -> bool:
    """Whether the process or one of its children has this socket."""
    with suppress(OSError):
        if any(_is(each, inode) for each in Path(f"/proc/{pid}/fd").iterdir()):
            return True
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return any(_has(int(child), inode) for child in children)
    return False


def _is(descriptor: Path, inode: int) -> bool:
    with suppress(OSError):
        return str(descriptor.readlink()) == f"socket:[{inode}]"
    return False
