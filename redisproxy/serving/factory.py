"""Makes a protocol for each accepted client, or turns it away when there are too many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from redisproxy.client.client import Client
from redisproxy.client.closing import CLOSE_DEADLINE_S
from redisproxy.serving.protocol import ClientProtocol

if TYPE_CHECKING:
    from redisproxy.config import KeepaliveSettings
    from redisproxy.config.authentication import Authenticator
    from redisproxy.shared.core import Core
    from redisproxy.shared.registry import ClientRegistry

FULL = b"-ERR max number of clients reached\r\n"


class Refusal(Protocol):
    """Says that there are too many clients, and closes."""

    transport: Any

    def __init__(self, clock: IReactorTime) -> None:
        self._deadline = clock.callLater(CLOSE_DEADLINE_S, self._abort)

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(FULL)
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._deadline.active():
            self._deadline.cancel()

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abortConnection()


class ClientFactory(Factory[Protocol]):
    """The factory of one listener.

    @ivar registry: all clients, of every listener.
    @ivar name: the listener's name, by which another data plane finds its own like it.
    @ivar auth: who may use the listener; a reload replaces it for new clients.
    """

    noisy = False

    def __init__(
        self,
        core: Core,
        registry: ClientRegistry[Client],
        auth: Authenticator,
        keepalive: KeepaliveSettings | None = None,
        name: str = "",
    ) -> None:
        self.core = core
        self.registry = registry
        self.auth = auth
        self.keepalive = keepalive
        self.name = name

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self.refusal() if self.registry.full else self.protocol_of_new_client()

    def refusal(self) -> Refusal:
        """The protocol of one who is too many."""
        self.core.metrics.clients.closed["max_clients"] += 1
        return Refusal(self.core.clock)

    def protocol_of_new_client(self) -> ClientProtocol:
        """The protocol of one more client."""
        client = Client(self.core, self.registry, self.auth)
        client.identity.listener = self.name
        return ClientProtocol(client, self.keepalive)
