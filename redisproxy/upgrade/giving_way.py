"""This process as it gives its place to another one: L{control.succession.Predecessor}."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.logger import Logger

from redisproxy.control.succession import SuccessorFailed
from redisproxy.remote.run_directory import RunDirectoryFault
from redisproxy.upgrade.successor import RemoteSuccessor

if TYPE_CHECKING:
    from redisproxy.control.control import Control
    from redisproxy.control.service_manager import ServiceManager
    from redisproxy.net.listening import ListeningSocket
    from redisproxy.upgrade.carriers import Carriers
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


class GivingWay:
    """One process.

    @param sockets: all at which it listens.
    @ivar successor_pid: the process that is in charge in place of this one; 0 while there is none.
    """

    log = Logger(namespace="redisproxy.upgrade")

    def __init__(
        self,
        command: CommandLine,
        clients: Ports,
        admin: Ports,
        carriers: Carriers,
        control: Control,
        reactor: Any,
        manager: ServiceManager,
        pidfile: Pidfile,
        sockets: Sequence[ListeningSocket],
    ) -> None:
        self._command = command
        self._clients = clients
        self._admin = admin
        self._carriers = carriers
        self._control = control
        self._reactor = reactor
        self._manager = manager
        self._pidfile = pidfile
        self._sockets = sockets
        self.successor_pid = 0
        self._successor: RemoteSuccessor | None = None

    @property
    def refused(self) -> str:
        if os.getpid() != FIRST_OF_ALL:
            return ""
        return (
            "this is the first process of its container, which ends with it: start a container with the new version,"
            " and let shutdown.wait_for_clients_ms give clients time to go there"
        )

    def start_successor(self) -> RemoteSuccessor:
        self._successor = successor = RemoteSuccessor(self._reactor)
        successor.start(self._command, self._sockets)
        return successor

    def take_back(self) -> tuple[str, ...]:
        try:
            return self._carriers.open_doors()
        except (CannotListenError, RunDirectoryFault) as error:
            raise SuccessorFailed(f"clients could not be taken back if that was necessary: {error}") from error

    async def shared(self) -> bytes:
        return await self._carriers.tell_shared()

    async def accept_nobody(self) -> None:
        await self._clients.pause()

    async def close_admin(self) -> None:
        await self._admin.pause()

    def open_again(self) -> None:
        self._clients.resume()
        self._admin.resume()
        self._pidfile.own()
        pid = 0 if self._successor is None else self._successor.pid
        settled: Deferred[None] = Deferred()
        self._control.upgrade.settling(settled)
        undoing = ensureDeferred(self._carriers.undone(pid)).addErrback(self._not_undone)
        undoing.addBoth(self._undone, settled)

    def _undone(self, result: object, settled: Deferred[None]) -> None:
        if not settled.called:
            settled.callback(None)

    def _not_undone(self, failure: Any) -> None:
        self.log.failure("what is left of the new process is not driven", failure=failure)

    def retire(self, pid: int) -> None:
        self.successor_pid = pid
        self._pidfile.disown()
        self._manager.succeeded_by(pid)
        self.log.info("process {pid} is in charge now", pid=pid)
        ensureDeferred(self._retire()).addErrback(self._failed)

    def _failed(self, failure: Any) -> None:
        self.log.failure("ending failed", failure=failure)
        self._end()

    async def _retire(self) -> None:
        nothing_left = self._carriers.let_go()
        for each in (self._clients, self._admin):
            await each.leave()
        await self._control.retire()
        await nothing_left
        waiting: Deferred[None] = Deferred()
        self._reactor.callLater(ANSWERED_S, waiting.callback, None)
        await waiting
        self._end()

    def _end(self) -> None:
        with suppress(ReactorNotRunning):
            self._reactor.stop()
