"""This process as it gives its place to another one: L{control.succession.Predecessor}."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred, maybeDeferred
from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

from redisproxy.remote import peer
from redisproxy.upgrade.private_folder import PrivateFolder
from redisproxy.upgrade.successor import RemoteSuccessor

if TYPE_CHECKING:
    from twisted.internet.interfaces import IListeningPort

    from redisproxy.control.control import Control
    from redisproxy.control.service_manager import ServiceManager
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.net.listening import ListeningSocket
    from redisproxy.upgrade.origin import CommandLine
    from redisproxy.upgrade.pidfile import Pidfile

FIRST_OF_ALL = 1
ANSWERED_S = 0.5
"""For the answer of the upgrade to reach who has asked for it."""


class Ports(Protocol):
    """The addresses at which clients, or requests to the admin pages, are accepted."""

    def resume(self) -> None: ...

    async def pause(self) -> None: ...

    async def leave(self) -> None: ...


class SharedByClients(Protocol):
    """What all clients share."""

    async def tell(self) -> bytes:
        """It, in its form as bytes."""

    async def take(self, state: bytes) -> None:
        """Go on with that of another process."""


class GivingWay:
    """One process.

    @param sockets: all at which it listens. @param shared: what all its clients share.
    """

    log = Logger(namespace="redisproxy.upgrade")

    def __init__(
        self,
        command: CommandLine,
        dataplane: DataPlane,
        clients: Ports,
        admin: Ports,
        shared: SharedByClients,
        control: Control,
        reactor: Any,
        manager: ServiceManager,
        pidfile: Pidfile,
        sockets: Sequence[ListeningSocket],
    ) -> None:
        self._command = command
        self._dataplane = dataplane
        self._clients = clients
        self._admin = admin
        self._shared = shared
        self._control = control
        self._reactor = reactor
        self._manager = manager
        self._pidfile = pidfile
        self._folder = PrivateFolder()
        self._port: IListeningPort | None = None
        self._sockets = sockets

    @property
    def back(self) -> tuple[str, ...]:
        return (self._folder.path_of("back"),)

    @property
    def refused(self) -> str:
        if os.getpid() != FIRST_OF_ALL:
            return ""
        return (
            "this is the first process of its container, which ends with it: start a container with the new version,"
            " and let shutdown.wait_for_clients_ms give clients time to go there"
        )

    def start_successor(self) -> RemoteSuccessor:
        successor = RemoteSuccessor(self._reactor)
        successor.start(self._command, self._sockets)
        return successor

    def take_back(self) -> None:
        self._port = peer.listen(self._reactor, self.back[0], self._dataplane.handover)

    async def shared(self) -> bytes:
        return await self._shared.tell()

    async def accept_nobody(self) -> None:
        await self._clients.pause()

    async def close_admin(self) -> None:
        await self._admin.pause()

    def open_again(self) -> None:
        self._end_taking_back()
        self._clients.resume()
        self._admin.resume()
        self._pidfile.own()

    def _end_taking_back(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            maybeDeferred(port.stopListening).addBoth(lambda _: self._folder.remove())

    def retire(self, pid: int) -> None:
        self._end_taking_back()
        self._pidfile.disown()
        self._manager.succeeded_by(pid)
        self.log.info("process {pid} is in charge now", pid=pid)
        ensureDeferred(self._retire()).addErrback(self._failed)

    def _failed(self, failure: Any) -> None:
        self.log.failure("ending failed", failure=failure)
        self._end()

    async def _retire(self) -> None:
        for each in (self._clients, self._admin):
            await each.leave()
        await self._control.retire()
        linger_s = self._control.configuration.settings.upgrade.linger_ms / 1000
        clients = self._dataplane.clients
        await clients.give_notice(linger_s, 0.0)
        with suppress(TimeoutError):
            await clients.all_left().addTimeout(linger_s, self._reactor)
        waiting: Deferred[None] = Deferred()
        self._reactor.callLater(ANSWERED_S, waiting.callback, None)
        await waiting
        self._end()

    def _end(self) -> None:
        with suppress(ReactorNotRunning):
            self._reactor.stop()
