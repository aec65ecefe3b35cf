"""Two data planes on one machine, for one server that the test plays, and clients that go from one to the other."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred

from redisproxy.commands.lookup import CommandTable
from redisproxy.dataplane.adoption import Adoption
from redisproxy.dataplane.handover import POLL_S, Handover
from redisproxy.resp import encode_command as cmd
from redisproxy.resp import parse_replies
from tests.wire import OK, Client, Server, Sockets, Wire

TIMEOUT_S = 1.0
LIMIT_S = 5.0


class Planes:
    """The plane that clients are on, and the one that they go to.

    @ivar sockets: those that the new one adopts.
    @ivar target: takes clients in for `new`. @ivar handover: hands those of `old` over.
    """

    def __init__(self, **options: Any) -> None:
        self.old = Wire(**options)
        self.new = Wire(beside=self.old, **options)
        for wire in (self.old, self.new):
            wire.core.table = CommandTable(frozenset({"MONITOR"}), pubsub=True)
            wire.factory.name = "here"
        self.sockets = Sockets(self.old)
        self.target = Adoption(self._factory, self.sockets, self.old.clock, TIMEOUT_S)
        self.handover = Handover(self.old.uplink_set, Sockets(self.old), self.old.clock, self.target, TIMEOUT_S)
        self.staying: dict[Any, str] | None = None

    def _factory(self, name: str) -> Any:
        return self.new.factory if name == "here" else None

    @property
    def servers(self) -> list[Server]:
        """All connections to the server, in order."""
        return self.old.servers

    def asked(self, text: bytes) -> Server:
        """The connection on which this was sent."""
        return next(server for server in self.servers if text in server.waiting())

    def client(self, *commands: tuple[Any, ...]) -> Client:
        """A client of the old plane that has sent these, which the proxy answers itself."""
        client = self.old.client()
        for command in commands:
            client.ask(*command)
        return client

    def begin(self, *clients: Client, limit_s: float = LIMIT_S) -> None:
        """Begin to hand these over."""
        self.staying = None
        moving = ensureDeferred(self.handover.move([client.inside for client in clients], limit_s))
        moving.addCallback(lambda staying: setattr(self, "staying", staying))
        moving.addErrback(lambda failure: failure.raiseException())
        self.old.turn()

    def poll(self) -> None:
        """Let the handover look again."""
        self.old.advance(POLL_S)

    def done(self) -> None:
        """It is over, and everybody has gone."""
        assert self.staying == {}

    def hand_over(self, *clients: Client) -> None:
        """Hand these over, who need nothing of the server."""
        self.begin(*clients)
        self.done()

    def nothing_is_left(self) -> None:
        """Neither plane has anything of clients that have gone."""
        for wire in (self.old, self.new):
            assert not wire.gate.in_flight and not wire.gate.held
            assert wire.metrics.clients.open == len(wire.registry)
            assert wire.core.dedicated == sum(each.share.dedicated for each in wire.registry)
            assert len(wire.core.maintenance) <= len(wire.registry)


def answered(moving: Deferred[Any]) -> bool:
    """Whether this has fired."""
    return bool(moving.called)


def commands_of(data: bytes) -> list[list[bytes]]:
    """The commands in what a server has got."""
    return parse_replies(data)  # type: ignore[return-value]


def marker_of(data: bytes) -> bytes:
    """The channel of the marker in what a server has got."""
    return next(each[1] for each in commands_of(data) if each[1:] and each[1].startswith(b"__redisproxy:handover:"))


__all__ = ["LIMIT_S", "OK", "POLL_S", "TIMEOUT_S", "Planes", "answered", "cmd", "commands_of", "marker_of"]
