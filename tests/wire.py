"""The harness for tests in memory: real gate, sessions, clients and uplink set between fake transports, on a Clock.

The test plays both the clients and the Redis server: `>>` is what it sends, `<<` what it has to see.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from redisproxy.client import Client as Inside
from redisproxy.config.authentication import Authenticator, digest
from redisproxy.figures.metrics import Metrics
from redisproxy.forwarding.gate import Gate
from redisproxy.net.detached import DetachedSocket, NotDetachable
from redisproxy.resp import encode_command as cmd
from redisproxy.serving import ClientFactory
from redisproxy.shared.core import Core
from redisproxy.shared.registry import ClientRegistry
from redisproxy.uplink import Credentials, CredentialSource, UplinkContext, UplinkLimits, UplinkSet

HELLO = b"*6\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$2\r\nid\r\n:%d\r\n"
OK = b"+OK\r\n"
QUEUED = b"+QUEUED\r\n"
EXECABORT = b"-EXECABORT Transaction discarded because of previous errors.\r\n"


class Transport(StringTransport):
    """A transport that closes a turn after it was told to, as real ones do."""

    def __init__(self, clock: Clock, port: int) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "127.0.0.1", port))
        self._clock = clock
        self.protocol: Any = None
        self.port = port
        self.gone = False
        self.half_closed = False
        self.detachable = True
        self.full = False
        self.unsent = b""

    def getHandle(self) -> None:
        return None

    def write(self, data: bytes) -> None:
        if self.full:
            self.unsent += data
        elif self.detachable or not self.gone:
            super().write(data)

    def detach(self) -> DetachedSocket:
        """Let the socket go, of which the number is that of its port."""
        if not self.detachable or self.disconnecting or self.gone:
            raise NotDetachable("the connection is closing")
        self.detachable, self.gone = False, True
        return DetachedSocket(self.port, b"", self.unsent)

    def loseConnection(self) -> None:
        self.disconnecting = True
        self._clock.callLater(0, self.lose)

    def abortConnection(self) -> None:
        self.disconnecting = True
        self._clock.callLater(0, self.lose)

    def unregisterProducer(self) -> None:
        self.producer = None  # real transports do not mind a second time

    def lose(self) -> None:
        if not self.gone:
            self.gone = True
            self.protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def paused(self) -> bool:
        return self.producerState == "paused"


class Sockets:
    """What of a network a data plane needs that takes clients in: sockets are clients' ends, by their ports.

    @ivar refuses: no socket can be used.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.refuses = False

    def adopt(self, detached: DetachedSocket, protocol_factory: Callable[[], Any]) -> Any:
        """See C{net.transports.Network.adopt}."""
        client = self._wire.clients.get(detached.fd)
        if client is None or self.refuses:
            raise OSError(9, "Bad file descriptor")
        transport = Transport(self._wire.clock, detached.fd)
        transport.protocol = protocol_factory()
        client.move_to(transport)
        transport.write(detached.unsent)
        transport.protocol.makeConnection(transport)
        for data in client.take_arrived():
            transport.protocol.dataReceived(data)
        return transport.protocol


class End:
    """One end of a connection, as the test sees it."""

    def __init__(self, wire: Wire, transport: Transport) -> None:
        self.wire = wire
        self.transport = transport
        self._seen = 0

    def send(self, *data: bytes) -> None:
        """Let the bytes arrive at the proxy, as one turn of the reactor."""
        for each in data:
            self.arrive(each)
        self.wire.turn()

    def arrive(self, data: bytes) -> None:
        """Let the bytes arrive at the proxy."""
        self.transport.protocol.dataReceived(data)

    def got(self) -> bytes:
        """What the proxy has sent here since the last call."""
        value = self.transport.value()
        new, self._seen = value[self._seen :], len(value)
        return new

    def waiting(self) -> bytes:
        """What the proxy has sent here since the last L{got}, which will tell of it still."""
        return self.transport.value()[self._seen :]

    def close(self) -> None:
        """Disconnect."""
        self.transport.lose()
        self.wire.turn()

    @property
    def closed(self) -> bool:
        return self.transport.gone


class Server(End):
    """A connection as the Redis server sees it."""

    number = 0


class Client(End):
    """A connection as a client sees it."""

    _arrived: tuple[bytes, ...] = ()

    def arrive(self, data: bytes) -> None:
        """Let the bytes arrive at the proxy, or wait in the socket while no data plane has it."""
        if self.transport.detachable:
            super().arrive(data)
        else:
            self._arrived = (*self._arrived, data)

    def take_arrived(self) -> tuple[bytes, ...]:
        """What waits in the socket."""
        arrived, self._arrived = self._arrived, ()
        return arrived

    def move_to(self, transport: Transport) -> None:
        """Another data plane has the socket; what was sent and not looked at stays sent."""
        transport.write(self.got())
        self.transport, self._seen = transport, 0

    @property
    def inside(self) -> Inside:
        """The proxy's side of it."""
        inside: Inside = self.transport.protocol.client
        return inside

    def ask(self, *args: bytes | str | int) -> bytes:
        """Send one command and return what has come back at once."""
        self.send(cmd(*args))
        return self.got()


class Wire:
    """The proxy's objects between the two ends, and the ends.

    @ivar clients: those on this machine, by their ports.
    """

    def __init__(
        self,
        *,
        password: str | None = None,
        max_clients: int = 100,
        beside: Wire | None = None,
        source: CredentialSource | None = None,
        **limits: Any,
    ) -> None:
        """
        @param source: what to log in at the server with.
        @param beside: another data plane on the same machine, and for the same server.
        """
        self.clock: Clock = Clock() if beside is None else beside.clock
        self.metrics = Metrics()
        self.gate = Gate(self.clock, self.metrics.flow)
        self.servers: list[Server] = [] if beside is None else beside.servers
        self.clients: dict[int, Client] = {} if beside is None else beside.clients
        self.refuse_connections = False
        self.answer_login = True
        self.login_error = b""
        self.attempts = 0
        self._calls: dict[Any, None] = {}
        self._others: list[Wire] = [] if beside is None else [beside]
        if beside is not None:
            beside._others.append(self)
        self.registry: ClientRegistry[Inside] = ClientRegistry(self.metrics, max_clients)
        self.limits = UplinkLimits(**limits)
        self._source = source or Credentials(None, None)
        self.core = Core(self.gate, self.metrics, self.clock, self.uplinks())
        auth = Authenticator({b"default": lambda: (digest(password.encode()),)} if password else {})
        self.factory = ClientFactory(self.core, self.registry, auth)
        self._ports: int = 1000 if beside is None else beside._ports + 1000

    def uplinks(self) -> UplinkSet:
        context = UplinkContext(
            clock=self.clock,
            gate=self.gate,
            metrics=self.metrics,
            end_of_turn=self._end_of_turn,
            limits=self.limits,
        )
        return UplinkSet(self._connect, self._source, context)

    @property
    def uplink_set(self) -> UplinkSet:
        """The uplink set in use, with its full interface."""
        assert isinstance(self.core.uplinks, UplinkSet)
        return self.core.uplinks

    def _end_of_turn(self, call: Any) -> None:
        self._calls[call] = None

    def turn(self) -> None:
        """End the turn of the reactor, and run what is due now."""
        for _ in range(20):
            for wire in (self, *self._others):
                calls, wire._calls = wire._calls, {}
                for call in calls:
                    call()
            self.clock.advance(0)
            self._log_in()
            if not any(wire._calls for wire in (self, *self._others)):
                break

    def _connect(self, factory: Any) -> Deferred[Any]:
        self.attempts += 1
        answer: Deferred[Any] = Deferred()

        def connect() -> None:
            if answer.called:
                return
            if self.refuse_connections:
                answer.errback(Failure(ConnectionError("connection refused")))
                return
            transport = Transport(self.clock, 6379)
            transport.protocol = factory()
            server = Server(self, transport)
            server.number = len(self.servers) + 1
            self.servers.append(server)
            transport.protocol.makeConnection(transport)
            answer.callback(transport.protocol)

        self.clock.callLater(0, connect)
        return answer

    def _log_in(self) -> None:
        for server in self.servers:
            if self.answer_login and b"HELLO" in server.transport.value()[server._seen :]:
                asked = server.got()
                count = asked.count(b"HELLO") + asked.count(b"SELECT") + asked.count(b"SETNAME")
                assert count == 3, asked
                answers = HELLO % (100 + server.number) + OK + b":0\r\n" * asked.count(b"DBSIZE")
                server.transport.protocol.dataReceived(answers + (self.login_error or OK))

    def client(self) -> Client:
        self._ports += 1
        transport = Transport(self.clock, self._ports)
        transport.protocol = self.factory.buildProtocol(None)
        transport.protocol.makeConnection(transport)
        client = self.clients[self._ports] = Client(self, transport)
        return client

    def client_with_a_reply(self) -> Client:
        """A client that has had a reply, so that its commands go straight."""
        client = self.client()
        client.send(cmd("PING"))
        self.server.send(b"+PONG\r\n")
        assert client.got() == b"+PONG\r\n"
        return client

    @property
    def server(self) -> Server:
        """The last connection to the server."""
        return self.servers[-1]

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.turn()

    def switch(self, turn: bool = True) -> None:
        """Swap the uplink as a reload does: with the gate closed and nothing in flight."""
        assert not self.gate.open and not self.gate.in_flight
        old = self.core.uplinks
        self.core.uplinks = self.uplinks()
        old.close()  # type: ignore[attr-defined]
        if turn:
            self.turn()

    def pause(self) -> None:
        self.gate.close("operator")
        self.core.blocked_commands.close()
        for client in self.registry:
            client.gate_closed()
        self.core.maintenance.gate_closed()
        self.turn()

    def unpause(self) -> None:
        self.gate.reopen("operator")
        self.core.blocked_commands.open()
        self.core.maintenance.gate_opened()
        self.turn()
