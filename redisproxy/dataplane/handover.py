"""Handing clients over to another data plane: another worker, or the process that takes this one's place.

A client is held, what it has at the server is made by the other one on a connection of its own, then proven or cut
here, and at last its socket goes. Up to then everything can be taken back; nothing is lost, doubled or reordered
whoever else writes and publishes meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import TimeoutError, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from redisproxy.dataplane.values import HandoverRefused
from redisproxy.dataplane.watches import still_holds
from redisproxy.handlers.stream_marker import new_marker
from redisproxy.net.deferreds import all_settled, shielded
from redisproxy.net.detached import NotDetachable
from redisproxy.net.errors import UplinkError, UplinkUnavailable
from redisproxy.serving.leaving import Leaving

if TYPE_CHECKING:
    from redisproxy.client.client import Client
    from redisproxy.client.session_value import ClientValue
    from redisproxy.uplink import UplinkSet

AT_ONCE = 8
"""Each is held while it crosses, the longer the more there are."""
POLL_S = 0.002
BOTH_GET_IT = 2
"""How many connections get a marker that is published; one that MONITOR shows is answered with its text."""


STOPPED = "the handover was stopped before its turn"


class Target(Protocol):
    """Another data plane.

    Any exception but L{HandoverRefused} says nothing about what has happened there.
    """

    async def prepare(self, state: bytes, marker: bytes) -> None:
        """Make at the server what the client has there, beside what it has here.

        @param state: a C{ClientValue} in its form as bytes.
        @param marker: where messages are cut; see C{client.stream_cut}.
        @raise HandoverRefused: it can't; nothing is left of it.
        """

    async def adopt(self, state: bytes, fd: int) -> None:
        """Go on with the client. Who was not prepared has nothing at the server.

        @param fd: of its socket, which is the caller's still when it is refused, and else the target's.
        @raise HandoverRefused: it does not; nothing is left of it.
        """

    def abandon(self, client_id: int) -> None:
        """Leave no trace of what was prepared for this client; nothing, if it was not."""


class Handover:
    """Hands clients of this data plane over to `target`.

    @param uplinks: the connections to the server that both are for.
    @param network: makes a transport again of a socket that was refused.
    @param timeout_s: for each step at the server.
    """

    def __init__(self, uplinks: UplinkSet, network: Any, clock: IReactorTime, target: Target, timeout_s: float) -> None:
        self._uplinks = uplinks
        self._network = network
        self._clock = clock
        self._target = target
        self._timeout_s = timeout_s
        self._stopped = False

    def stop(self) -> None:
        """Begin with no other client, and wait for none to have nothing under way."""
        self._stopped = True

    async def move(self, clients: Iterable[Client], limit_s: float) -> dict[Client, str]:
        """Hand these over, a few at a time; who stays, and why.

        @param limit_s: how long each may take to have nothing under way.
        """
        staying: dict[Client, str] = {}
        left = iter(clients)
        while batch := list(islice(left, AT_ONCE)):
            if self._stopped:
                staying |= dict.fromkeys((*batch, *left), STOPPED)
                break
            results = await all_settled([ensureDeferred(self._move(client, limit_s)) for client in batch])
            for client, (good, value) in zip(batch, results, strict=True):
                if not good:
                    staying[client] = value.getErrorMessage() or value.type.__name__
        return staying

    async def _move(self, client: Client, limit_s: float) -> None:
        leaving = Leaving(client)
        until = self._clock.seconds() + limit_s
        try:
            await self._held(leaving, until)
            value = leaving.export()
            if value.needs_connection:
                await self._prepared(leaving, value, until)
            await self._give(leaving)
        except BaseException:
            leaving.stay()
            raise

    async def _held(self, leaving: Leaving, until: float) -> None:
        """Wait until it can go.

        @raise HandoverRefused: it can't, or not in time.
        """
        while True:
            if leaving.stays:
                raise HandoverRefused(leaving.stays)
            why = leaving.hold()
            if not why:
                return
            if self._stopped or self._clock.seconds() >= until:
                raise HandoverRefused(why)
            await deferLater(self._clock, POLL_S, lambda: None)

    async def _prepared(self, leaving: Leaving, value: ClientValue, until: float) -> None:
        """Have the other data plane make what the client has at the server, and end it here."""
        marker = new_marker()
        await self._made_there(value, marker)
        try:
            await self._in_time(self._part(leaving, value, marker))
            await self._held(leaving, until)
        except BaseException:
            self._target.abandon(value.id)
            raise

    async def _made_there(self, value: ClientValue, marker: bytes) -> None:
        try:
            await self._target.prepare(value.to_bytes(), marker)
        except HandoverRefused:
            raise
        except BaseException:
            self._target.abandon(value.id)
            raise

    async def _in_time(self, work: Any) -> None:
        try:
            await ensureDeferred(work).addTimeout(self._timeout_s, self._clock)
        except TimeoutError:
            raise HandoverRefused("the server does not answer") from None
        except UplinkError as error:
            raise HandoverRefused(str(error)) from error

    async def _part(self, leaving: Leaving, value: ClientValue, text: bytes) -> None:
        """End here what the other data plane has made for the client."""
        if value.subscription is not None:
            answer = await self._uplinks.own_commands.ask(*await leaving.begin_cut(text))
            if answer not in (BOTH_GET_IT, text):
                raise UplinkUnavailable("the two data planes do not have their messages from the same server")
            await leaving.messages_cut()
        elif value.session.watching and leaving.client.session.watching:
            await self._prove(leaving)

    async def _prove(self, leaving: Leaving) -> None:
        """See whether a watched key has changed. Whoever changes one from now on is seen at the other connection."""
        session = leaving.client.session
        by_exec = leaving.watch_spent = session.transaction is None
        holds = await still_holds(leaving.client, by_exec)
        if holds is None:
            raise UplinkUnavailable("the connection with its WATCH is lost")
        if not holds:
            session.lose_watch()

    async def _give(self, leaving: Leaving) -> None:
        """Give its socket away."""
        try:
            value, socket = leaving.take_socket()
        except NotDetachable as error:
            self._target.abandon(leaving.client.id)
            raise HandoverRefused(str(error)) from error
        try:
            # The descriptor may not have left yet: closed too early, its number would be that of another client.
            await shielded(self._target.adopt(value.to_bytes(), socket.fd))
        except HandoverRefused:
            leaving.take_back(self._network, socket)
            raise
        except BaseException:
            leaving.gone()
            leaving.client.core.metrics.clients.closed["handover_failed"] += 1
            socket.close()
            raise
        leaving.gone()
        leaving.client.core.metrics.clients.handed_over_total += 1
