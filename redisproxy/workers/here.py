"""The data plane of this process as one among others: beside those of processes that are to end."""

from __future__ import annotations

import os
from collections.abc import Sized
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from redisproxy.dataplane import shared_value
from redisproxy.dataplane.local import LocalDataPlane
from redisproxy.net.private_port import close
from redisproxy.remote import peer
from redisproxy.workers.everywhere import Direct
from redisproxy.workers.taking import Taking
from redisproxy.workers.telling_scripts import TellingScripts

if TYPE_CHECKING:
    from twisted.internet.interfaces import IListeningPort

    from redisproxy.config import Settings
    from redisproxy.net.network import ServingNetwork
    from redisproxy.remote.run_directory import RunDirectory
    from redisproxy.workers.everywhere import Everywhere
    from redisproxy.workers.known_scripts import KnownScripts


class _Count:
    """How many there are of something that has a length."""

    def __init__(self, what: Sized) -> None:
        self._what = what

    @property
    def now(self) -> int:
        return len(self._what)


class Here:
    """Implements L{members.Member} and L{dealing.Server}.

    @ivar door: the Unix socket at which it takes clients of others in.
    """

    log = Logger(namespace="redisproxy.workers")

    def __init__(self, plane: LocalDataPlane, settings: Settings, network: ServingNetwork, door: str) -> None:
        self.number, self.label, self.serving = 0, "this process", True
        self.plane, self.settings, self.door = plane, settings, door
        self.clients, self.raw = _Count(plane.registry), _Count(plane.raw)
        self.under_way, self.took = 0, 0.0
        self._port: IListeningPort | None = None
        self._taking = Taking(plane, network)
        self._end_of_turn = network.end_of_turn
        self._scripts: TellingScripts | None = None

    async def start(self, reactor: Any, settings: Settings, everywhere: Everywhere, scripts: KnownScripts) -> None:
        """Serve with these settings, and take clients of others in.

        @param scripts: where new ones are told.
        @raise CannotListenError: the socket can't be made.
        """
        self.settings = settings
        self.plane.core.every_worker = Direct(everywhere, reactor)
        self._scripts = TellingScripts(self.plane.core.scripts, partial(scripts.heard, of=self), self._end_of_turn)
        self._port = peer.listen(reactor, self.door, self.plane.handover)
        await self.plane.start()

    async def stop(self) -> None:
        """Close every connection to servers."""
        if self._port is not None:
            close(self._port)
        if self._scripts is not None:
            self._scripts.stop()
        await self.plane.stop()

    @property
    def load(self) -> int:
        """Part of L{members.Member}."""
        return self.clients.now + self.raw.now

    def take(self, listener: int, is_raw: bool, full: bool, descriptor: int) -> Deferred[None]:
        """Part of L{dealing.Server}."""
        return maybeDeferred(self._taking.take, listener, full, os.dup(descriptor))

    def learn(self, shared: bytes) -> Deferred[None]:
        """Part of L{members.Member}."""
        return maybeDeferred(shared_value.learn, shared, self.plane.core)

    def end(self, why: str) -> None:
        """Part of L{members.Member}. It would be the end of this process, so that it only says so."""
        self.log.critical("the data plane of this process has failed: {why}", why=why)

    def failed(self, why: str) -> None:
        """Part of L{members.Member}."""
        self.end(why)


def beside_others(settings: Settings, reactor: Any, network: Any, directory: RunDirectory) -> Here:
    """A new data plane of this process, whose door is in `directory`."""
    plane = LocalDataPlane(settings, reactor, network, reach=partial(peer.reach, reactor))
    return Here(plane, settings, network, directory.sockets(directory.new_name("p")).clients)
