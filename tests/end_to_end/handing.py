"""What a process of the proxy is given in tests so that clients can be handed from one process to another.

Each listens on two unix sockets in its folder: at C{orders} for the other process (AMP, which sends descriptors along),
and at C{words} for the test, which names the folder of the process that all clients are to go to.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory
from twisted.protocols import amp
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from redisproxy import service as services
from redisproxy.dataplane.adoption import Adoption
from redisproxy.dataplane.handover import HandoverRefused

LIMIT_S = 10.0


class Prepare(amp.Command):
    arguments: ClassVar[Any] = [(b"state", amp.String()), (b"marker", amp.String())]
    errors: ClassVar[Any] = {HandoverRefused: b"REFUSED"}


class Adopt(amp.Command):
    arguments: ClassVar[Any] = [(b"state", amp.String()), (b"fd", amp.Descriptor())]
    errors: ClassVar[Any] = {HandoverRefused: b"REFUSED"}


class Abandon(amp.Command):
    arguments: ClassVar[Any] = [(b"id", amp.Integer())]


class Orders(amp.AMP):
    """The process that takes clients in."""

    def __init__(self, target: Adoption, listener: str) -> None:
        super().__init__()
        self._target = target
        self._listener = listener

    def _here(self, state: bytes) -> bytes:
        """The same client at this process's listener, which can't have the same port in a test."""
        return json.dumps({**json.loads(state), "listener": self._listener}).encode()

    @Prepare.responder
    def prepare(self, state: bytes, marker: bytes) -> Any:
        return ensureDeferred(self._target.prepare(self._here(state), marker)).addCallback(lambda _: {})

    @Adopt.responder
    def adopt(self, state: bytes, fd: int) -> Any:
        adopting = ensureDeferred(self._target.adopt(self._here(state), fd))
        return adopting.addCallbacks(lambda _: {}, self._refused, errbackArgs=(fd,))

    def _refused(self, failure: Failure, fd: int) -> Failure:
        os.close(fd)
        return failure

    @Abandon.responder
    def abandon(self, id: int) -> Any:
        self._target.abandon(id)
        return {}


class Remote:
    """The other process, as the one sees it that hands clients over."""

    def __init__(self, connection: amp.AMP) -> None:
        self._connection = connection

    async def prepare(self, state: bytes, marker: bytes) -> None:
        await self._connection.callRemote(Prepare, state=state, marker=marker)

    async def adopt(self, state: bytes, fd: int) -> None:
        await self._connection.callRemote(Adopt, state=state, fd=fd)
        os.close(fd)

    def abandon(self, client_id: int) -> None:
        self._connection.callRemote(Abandon, id=client_id)


class Words(LineReceiver):
    """The test's orders."""

    delimiter = b"\n"

    def __init__(self, service: services.ProxyService) -> None:
        self._service = service

    def lineReceived(self, line: bytes) -> None:
        done = ensureDeferred(self._hand_over(line.decode()))
        done.addBoth(lambda result: self.sendLine(str(result).replace("\n", " ").encode()))

    async def _hand_over(self, folder: str) -> str:
        from twisted.internet import reactor

        dataplane = self._service.dataplane
        connecting: Deferred[Any] = connectProtocol(UNIXClientEndpoint(reactor, f"{folder}/orders"), amp.AMP())
        connection = await connecting
        staying = await dataplane.handover_to(Remote(connection)).move(list(dataplane.registry), LIMIT_S)
        connection.transport.loseConnection()
        return repr(sorted(staying.values()))


class _Listening(Factory[Any]):
    noisy = False

    def __init__(self, make: Any) -> None:
        self._make = make

    def buildProtocol(self, addr: Any) -> Any:
        return self._make()


def listen(service: services.ProxyService) -> None:
    """Listen for both kinds of orders."""
    from twisted.internet import reactor

    configuration = service.control.configuration
    folder, listener = Path.cwd(), configuration.settings.listen[0].addr
    target = service.dataplane.adoption
    listen_unix: Any = reactor.listenUNIX  # type: ignore[attr-defined]
    listen_unix(str(folder / "orders"), _Listening(lambda: Orders(target, listener)))
    listen_unix(str(folder / "words"), _Listening(lambda: Words(service)))


def install() -> None:
    """Have the proxy of this process do so when it starts."""
    begin = services.ProxyService.begin

    def begin_and_listen(self: services.ProxyService) -> None:
        begin(self)
        listen(self)

    services.ProxyService.begin = begin_and_listen  # type: ignore[method-assign,assignment]
