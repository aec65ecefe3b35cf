"""Connects to one peer: the connection, the proof that both belong to the fleet, and the version of the orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.python.failure import Failure

from redisproxy.config.certificates import TLSFault
from redisproxy.fleet.channel import Channel
from redisproxy.fleet.failures import FAILURES, why
from redisproxy.fleet.orders import MAX_VALUE_BYTES, Introduce
from redisproxy.fleet.peer import Peer
from redisproxy.remote.errors import VersionRefused
from redisproxy.remote.large import Pieces
from redisproxy.remote.order_client import OrderClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from redisproxy.config import FleetSettings, TcpAddress
    from redisproxy.fleet.certificates import CallingTLS
    from redisproxy.fleet.here import Here
    from redisproxy.remote.link import Link

CONNECT_S = 2.0
BEATS_A_LEASE = 5
"""So often a leader shows within a lease that it works."""


class NotConnected(Exception):
    """The peer can't be reached, or is none; C{str()} says why."""


class Dial:
    """One attempt; implements C{channel.Judge}.

    @param name: the host as the configuration names it, for which its certificate has to be.
    @param certificates: those of this proxy.
    """

    def __init__(
        self, here: Here, settings: FleetSettings, place: TcpAddress, name: str, certificates: CallingTLS
    ) -> None:
        self._here = here
        self._certificates = certificates
        self._settings = settings
        self._place = place
        self._name = name
        self._proving: Deferred[Link] = Deferred()
        self._on_lost: Callable[[], None] = lambda: None

    async def peer(self, on_lost: Callable[[], None]) -> Peer:
        """Connect.

        @param on_lost: called when the connection is lost, once it was made.
        @raise NotConnected: it can't be done.
        """
        self._on_lost = on_lost
        try:
            link: Any = await self._proven().addTimeout(CONNECT_S, self._here.clock)
        except TimeoutError:
            raise NotConnected(f"it has not answered within {CONNECT_S:g} s") from None
        here = self._here
        try:
            await link.greet()
            began = here.clock.seconds()
            told = await link.give(Introduce, instance=here.instance, name=here.name)
        except BaseException as error:
            link.abort()
            if isinstance(error, (*FAILURES, VersionRefused)):
                raise NotConnected(why(Failure(), CONNECT_S)) from error
            raise
        return Peer(self._place, link, told, here.clock.seconds() - began, here.clock)

    def _proven(self) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._connected())

    async def _connected(self) -> Any:
        here = self._here
        made: list[Channel] = []

        def channel() -> Channel:
            made.append(Channel(self._settings.key, True, self._link, self, here.clock))
            return made[-1]

        try:
            await here.network.connect(self._place, channel, self._tls(), CONNECT_S)
            return await self._proving
        except BaseException as error:
            # Also one that is proven already, when that was cancelled in which it had been made.
            for each in made:
                each.give_up()
            if isinstance(error, NotConnected | CancelledError) or not isinstance(error, Exception):
                raise
            raise NotConnected(Failure().getErrorMessage() or type(error).__name__) from error

    def _tls(self) -> Any:
        listen = self._settings.listen
        if not listen.tls:
            return None
        try:
            return self._certificates.of(listen, self._settings.server_name or self._name)
        except TLSFault as fault:
            raise NotConnected(f"fleet.listen.{fault}") from fault

    def _link(self) -> OrderClient:
        beat_s = self._settings.lease_ms / 1000 / BEATS_A_LEASE
        link = OrderClient(self._here.clock, lambda link: self._on_lost(), beat_s)
        link.pieces = Pieces(MAX_VALUE_BYTES)
        return link

    # -- channel.Judge

    def arrived(self, channel: Channel) -> None: ...

    def proven(self, channel: Channel) -> None:
        if channel.link is not None and not self._proving.called:
            self._proving.callback(channel.link)

    def refused(self, channel: Channel, why: str) -> None:
        if not self._proving.called:
            self._proving.errback(NotConnected(why))

    def ended(self, channel: Channel) -> None: ...
