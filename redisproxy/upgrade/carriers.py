"""The data planes of this process in an upgrade: where clients come in, what they share, what becomes of the rest.

Clients that could not go over stay where they are. Their data plane then listens in the run directory, where the
process in charge finds it and drives it until they have left.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from redisproxy.dataplane import shared_value
from redisproxy.net.private_port import close
from redisproxy.remote import peer
from redisproxy.remote.run_directory import RunDirectoryFault
from redisproxy.upgrade.process_life import ProcessLife
from redisproxy.workers.data_plane import UNTOLD_IDS
from redisproxy.workers.driven import Driven

if TYPE_CHECKING:
    from twisted.internet.interfaces import IListeningPort

    from redisproxy.control.configuration import Configuration
    from redisproxy.dataplane.local import LocalDataPlane
    from redisproxy.remote.run_directory import RunDirectory
    from redisproxy.workers.data_plane import WorkersDataPlane


class Carriers(Protocol):
    """What L{giving_way} and L{taking_over} ask for."""

    def open_doors(self) -> tuple[str, ...]:
        """Take clients of another process in; the Unix sockets where.

        @raise twisted.internet.error.CannotListenError: one can't be made. @raise RunDirectoryFault: one was removed.
        """

    def close_doors(self) -> None:
        """Take no more in."""

    async def tell_shared(self) -> bytes:
        """What all clients share, in its form as bytes."""

    def begin_with(self, shared: bytes) -> None:
        """What clients share in the process whose place is taken; before anything is started."""

    async def take_shared(self, shared: bytes) -> None:
        """The same as it is in the end: before the first of them comes, and the scripts again after the last one."""

    async def undone(self, pid: int) -> None:
        """Process `pid` has ended, which was to take this one's place: take no more in, and see to its workers."""

    async def ready(self) -> None:
        """Fire when all that are to serve do."""

    def let_go(self) -> Deferred[None]:
        """Another process is in charge, and drives what there is here; fire when this process has nothing left."""

    async def find_the_rest(self) -> None:
        """Drive what the process whose place was taken has left."""

    async def stop(self) -> None:
        """The process ends."""


class Alone:
    """Implements L{Carriers} for the data plane of one process.

    @param configuration: what is in force.
    """

    log = Logger(namespace="redisproxy.upgrade")

    def __init__(
        self,
        plane: LocalDataPlane,
        configuration: Configuration,
        network: Any,
        directory: RunDirectory,
        reactor: Any,
    ) -> None:
        self._plane = plane
        self._configuration = configuration
        self._network = network
        self._directory = directory
        self._reactor = reactor
        self._name = directory.new_name("o")
        self._door: IListeningPort | None = None
        self._driven: Driven | None = None
        self._took_shared = False

    def open_doors(self) -> tuple[str, ...]:
        self._directory.make()
        path = self._directory.sockets(self._directory.new_name("p")).clients
        self._door = peer.listen(self._reactor, path, self._plane.handover)
        return (path,)

    def close_doors(self) -> None:
        door, self._door = self._door, None
        if door is not None:
            close(door)

    async def tell_shared(self) -> bytes:
        return shared_value.export(self._plane.core, self._plane.registry)

    def begin_with(self, shared: bytes) -> None:
        """It is told again when the first client comes."""

    async def take_shared(self, shared: bytes) -> None:
        if self._took_shared:
            shared_value.learn(shared, self._plane.core)
        else:
            self._took_shared = True
            shared_value.take_in(shared, self._plane.core, self._plane.registry)

    async def undone(self, pid: int) -> None:
        self.close_doors()
        self.give_other_ids()
        for name in self._directory.of_process(pid) if pid else ():
            # There is nobody here who could drive it, and its clients would stay where they are in every move.
            text = "{name} is ended: the process that has started it was to take this one's place, and is gone"
            self.log.error(text, name=name)
            life = ProcessLife(self._directory.pid_of(name))
            life.kill()
            life.forget()
            self._directory.remove(name)

    def give_other_ids(self) -> None:
        """The other process has given some, which it has not told."""
        registry = self._plane.registry
        registry.give_no_id_up_to(registry.last_id + UNTOLD_IDS)

    async def ready(self) -> None:
        """It serves as soon as it knows the server."""

    def let_go(self) -> Deferred[None]:
        self.close_doors()
        plane = self._plane
        if not (len(plane.registry) or len(plane.raw)):
            return succeed(None)
        left: Deferred[None] = Deferred()
        of_plane = plane, self._configuration.settings, self._network, self._reactor
        self._driven = Driven(self._name, 0, *of_plane, lambda: left.callback(None), started=True)
        try:
            self._driven.open(self._directory)
        except CannotListenError as error:
            self.log.error("{count} clients stay and are not driven: {error}", count=len(plane.registry), error=error)
            return plane.clients.all_left()
        return left

    async def find_the_rest(self) -> None:
        """There is nobody who could drive it."""

    async def stop(self) -> None:
        self.close_doors()
        if self._driven is not None:
            await self._driven.stop()
            self._directory.remove(self._name)
        self._directory.leave()


class Several:
    """Implements L{Carriers} for the data planes of several processes, of which this may be one.

    @param here: the one of this process.
    """

    def __init__(self, plane: WorkersDataPlane, here: Alone | None) -> None:
        self._plane = plane
        self._here = here

    def open_doors(self) -> tuple[str, ...]:
        doors = self._plane.doors
        for removed in (each for each in doors if not os.path.exists(each)):
            raise RunDirectoryFault(
                f"run_directory: somebody has removed {removed}, where the new process would look for the worker:"
                " restart the proxy instead"
            )
        return doors

    def close_doors(self) -> None:
        """They are open for all that linger."""

    async def tell_shared(self) -> bytes:
        here = b"" if self._here is None else await self._here.tell_shared()
        return await self._plane.tell_shared(here)

    def begin_with(self, shared: bytes) -> None:
        self._plane.begin_with(shared)

    async def take_shared(self, shared: bytes) -> None:
        if not shared:
            return  # none of the workers could say
        if self._here is None:
            await self._plane.learn(shared)
        else:
            await self._here.take_shared(shared)

    async def undone(self, pid: int) -> None:
        if self._here is not None:
            self._here.give_other_ids()
        await self._plane.drive_again()

    async def ready(self) -> None:
        await self._plane.all_serve()

    def let_go(self) -> Deferred[None]:
        self._plane.let_go()
        return succeed(None) if self._here is None else self._here.let_go()

    async def find_the_rest(self) -> None:
        await self._plane.find_the_rest()

    async def stop(self) -> None:
        if self._here is not None:
            await self._here.stop()
