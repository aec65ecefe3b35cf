"""Looks at every command that a client's data plane has a server carry out: is it the right server, and no pause on?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.copying.bulk_connection import BulkProtocol

if TYPE_CHECKING:
    from tests.simulation.redis import Connection, Server
    from tests.simulation.world import World

OF_CLIENTS = frozenset({b"GET", b"SET", b"INCR", b"RPUSH", b"LPOP", b"BLPOP", b"ECHO", b"EVAL"})

OWN = b"__redisproxy:"
"""What the keys of the proxy itself begin with."""


class Placement:
    """The oracle.

    @ivar paused: the operator was told that all clients are held, and has not let them go on.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.paused = False
        for server in world.servers:
            server.watch = self._look

    def _look(self, server: Server, connection: Connection, commands: list[list[bytes]]) -> None:
        peer = connection.end.peer
        if peer.name != "uplink" or peer.gone or peer.disconnecting or self._world.ending:
            return
        if not any(args[0].upper() in OF_CLIENTS and not args[1].startswith(OWN) for args in commands):
            return
        if isinstance(peer.protocol, BulkProtocol):
            return  # a copy
        if peer.process is not None and (peer.process.program is None or not peer.process.alive):
            return  # no worker: the control plane reads data, too
        if self._world.workers is not None and not self._world.workers.control_lives:
            return  # each worker decides for itself when to go
        if self.paused:
            self._world.fail(f"{commands[0]} of a client has come through a pause")
        decided = self._world.decided
        if server is not decided and not self._is_cut_off(peer.process):
            self._world.fail(f"{commands[0]} of a client is carried out at {server.name}: {decided.name} is in use")
        elif late := self._not_there_yet(decided):
            self._world.fail(
                f"{commands[0]} of a client is carried out at {decided.name}: {late} has not gone there yet"
            )

    def _not_there_yet(self, decided: Server) -> object:
        """A worker, of those that are all right, which is still at another server."""
        workers = self._world.workers
        if workers is None:
            return None
        workers.look()
        well = (each for each in workers.in_use if not workers.is_doomed(each))
        return next((each for each in well if self._world.net.hosts[workers.server_of(each)] is not decided), None)

    def _is_cut_off(self, process: object) -> bool:
        """Whether it may have no control process, or one that does not know that their link is lost."""
        workers = self._world.workers
        if workers is None:
            return False
        return workers.is_doomed(process) or (workers.loses_control and process not in workers.in_use)
