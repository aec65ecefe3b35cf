"""What a process of the proxy is given in tests so that clients can be handed from one process to another.

Each listens on two unix sockets in its folder: at C{orders} for the other process (AMP, which sends descriptors along),
and at C{words} for the test, which names the folder of the process that all clients are to go to.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver

from redisproxy import service as services
from redisproxy.dataplane.interface import HandedClient, HandoverOrders, Taker
from redisproxy.remote import peer

LIMIT_S = 10.0


class Here:
    """The orders for clients that come, at this process's listener: it can't have the same port in a test."""

    def __init__(self, handover: HandoverOrders, listener: str) -> None:
        self._handover = handover
        self._listener = listener
        self.forget = handover.forget
        self.hand_over, self.stop = handover.hand_over, handover.stop

    def expect(self, state: bytes, marker: bytes) -> Deferred[None]:
        return self._handover.expect(self._here(state), marker)

    def adopt(self, client: HandedClient) -> Deferred[None]:
        return self._handover.adopt(HandedClient(self._here(client.state), client.descriptor))

    def _here(self, state: bytes) -> bytes:
        return json.dumps({**json.loads(state), "listener": self._listener}).encode()


class Words(LineReceiver):
    """The test's orders."""

    delimiter = b"\n"

    def __init__(self, service: services.ProxyService) -> None:
        self._service = service

    def lineReceived(self, line: bytes) -> None:
        done = ensureDeferred(self._hand_over(line.decode()))
        done.addBoth(lambda result: self.sendLine(str(result).replace("\n", " ").encode()))

    async def _hand_over(self, folder: str) -> str:
        dataplane = self._service.dataplane
        there = len(dataplane.registry)
        done = await dataplane.handover.hand_over((Taker(f"{folder}/orders", there),), LIMIT_S)
        return str(there - done.taken)


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
    here = Here(service.dataplane.handover, listener)
    peer.listen(reactor, str(folder / "orders"), here)
    listen_unix: Any = reactor.listenUNIX  # type: ignore[attr-defined]
    listen_unix(str(folder / "words"), _Listening(lambda: Words(service)))


def install() -> None:
    """Have the proxy of this process do so when it starts."""
    begin = services.ProxyService.begin

    def begin_and_listen(self: services.ProxyService) -> None:
        begin(self)
        listen(self)

    services.ProxyService.begin = begin_and_listen  # type: ignore[method-assign,assignment]
