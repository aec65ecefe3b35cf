"""The peers of this proxy: their names are resolved again and again, and each address is kept connected.

An address that turns out to be this proxy's own is left out, so that all proxies can have the same list, or one name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred, DeferredList, ensureDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.config import TcpAddress
from redisproxy.fleet.certificates import CallingTLS
from redisproxy.fleet.dialing import Dial, NotConnected
from redisproxy.fleet.failures import FAILURES, why

if TYPE_CHECKING:
    from redisproxy.config import FleetSettings
    from redisproxy.fleet.here import Here
    from redisproxy.fleet.peer import Peer

TICK_S = 1.0
RESOLVE_S = 5.0
ASK_S = 2.0
OWN_S = 300.0
"""An address of this proxy may be another one's after some time."""
MAX_PLACES = 64
Resolve = Callable[[str], "Deferred[list[str]]"]
"""All addresses of a host name; it fails when there are none."""


class Unreachable(Exception):
    """Peers can't be reached; C{str()} names them, and says why."""


class Place:
    """An address at which there is, or should be, a peer.

    @ivar name: the host as the configuration has it. @ivar error: why it is missing; empty when it is there.
    @ivar own: it is this proxy's own. @ivar own_until: then it is looked at again after that time.
    """

    def __init__(self, address: TcpAddress, name: str) -> None:
        self.address = address
        self.name = name
        self.peer: Peer | None = None
        self.error = "not connected yet"
        self.own, self.own_until = False, 0.0
        self.dialing: Deferred[None] | None = None


class Roster:
    """All of them.

    @ivar places: by address, in the order of the configuration.
    """

    log = Logger(namespace="redisproxy.fleet")

    def __init__(self, here: Here, resolve: Resolve) -> None:
        self.places: dict[TcpAddress, Place] = {}
        self._here = here
        self._resolve = resolve
        self._unresolved: dict[str, str] = {}
        self._resolved_at = -RESOLVE_S
        self._settings: FleetSettings | None = None
        self._certificates = CallingTLS()
        self._loop = LoopingCall(self._tick)
        self._loop.clock = here.clock

    def start(self) -> None:
        """Be connected from now on."""
        self._loop.start(TICK_S, now=True).addErrback(self._failed)

    def stop(self) -> None:
        """Part with all."""
        if self._loop.running:
            self._loop.stop()
        self._keep(())

    def _failed(self, failure: Failure) -> None:
        self.log.failure("looking after the peers failed", failure=failure)

    # -- who is there

    @property
    def peers(self) -> list[Peer]:
        """Those that are connected, each once, in the order of their instances."""
        found = {place.peer.told.instance: place.peer for place in self.others if place.peer is not None}
        return [found[instance] for instance in sorted(found)]

    @property
    def others(self) -> list[Place]:
        """All places but this proxy's own."""
        return [place for place in self.places.values() if not place.own]

    @property
    def unresolved(self) -> list[str]:
        """The names in C{peers} that could not be resolved the last time."""
        return sorted(self._unresolved)

    @property
    def missing(self) -> dict[str, str]:
        """Why each peer that is missing is, by its address or its name."""
        return {**{str(each.address): each.error for each in self.others if each.error}, **self._unresolved}

    @property
    def faults(self) -> list[str]:
        """The peers that are missing, and why."""
        return [f"{name}: {text}" for name, text in self.missing.items()]

    async def assembled(self) -> list[Peer]:
        """All peers, each of which has just told how it is doing.

        @raise Unreachable: one is missing.
        """
        await self._look_up()
        await DeferredList([self._connected(place) for place in self.others])
        await DeferredList([self._asked(place) for place in self.others if place.peer is not None])
        if faults := self.faults:
            raise Unreachable("not all peers can be reached: " + "; ".join(faults))
        return self.peers

    # -- looking after them

    async def _tick(self) -> None:
        settings, now = self._here.configuration.settings.fleet, self._here.clock.seconds()
        if settings is not self._settings or now - self._resolved_at >= RESOLVE_S:
            await self._look_up()
        for place in list(self.places.values()):
            if place.peer is not None:
                self._asked(place)
            elif not place.own or place.own_until <= now:
                self._connected(place)

    async def _look_up(self) -> None:
        """Resolve all names; those of whom nothing is known now keep the addresses that they had."""
        self._settings, self._resolved_at = self._here.configuration.settings.fleet, self._here.clock.seconds()
        names = () if self._settings is None else self._settings.addresses
        unresolved: dict[str, str] = {}
        found = await DeferredList([ensureDeferred(self._addresses(each, unresolved)) for each in names])
        self._unresolved = dict(sorted(unresolved.items()))
        self._keep(
            (address, each.host) for each, (_, addresses) in zip(names, found, strict=True) for address in addresses
        )

    async def _addresses(self, name: TcpAddress, unresolved: dict[str, str]) -> list[TcpAddress]:
        try:
            hosts = await self._resolve(name.host).addTimeout(ASK_S, self._here.clock)
            return [TcpAddress(host, name.port) for host in sorted(set(hosts))]
        except Exception as error:
            had = [
                each.address
                for each in self.places.values()
                if each.name == name.host and each.address.port == name.port
            ]
            unresolved[str(name)] = f"the name can't be resolved: {Failure(error).getErrorMessage()}"
            return had

    def _keep(self, wanted: Iterable[tuple[TcpAddress, str]]) -> None:
        """Have these places, and no others."""
        before, self.places = self.places, {}
        for address, name in list(dict(wanted).items())[:MAX_PLACES]:
            self.places[address] = before.pop(address) if address in before else Place(address, name)
        for place in before.values():
            if place.dialing is not None:
                place.dialing.cancel()
            if place.peer is not None:
                place.peer.give_up()

    def _connected(self, place: Place) -> Deferred[None]:
        """Fire when the attempt to connect to it has ended; at once when it is connected."""
        waiting: Deferred[None] = Deferred()
        if place.peer is None and place.dialing is None:
            dialing = place.dialing = ensureDeferred(self._dial(place))
            dialing.addBoth(self._dialed, place)
        if place.dialing is None:
            waiting.callback(None)
        else:
            place.dialing.addBoth(lambda _: waiting.callback(None))
        return waiting

    def _dialed(self, result: object, place: Place) -> None:
        place.dialing = None
        if isinstance(result, Failure) and not result.check(CancelledError):
            self.log.failure("connecting to a peer failed", failure=result)

    async def _dial(self, place: Place) -> None:
        settings = self._here.configuration.settings.fleet
        if settings is None:
            return
        try:
            dial = Dial(self._here, settings, place.address, place.name, self._certificates)
            peer = await dial.peer(lambda: self._lost(place))
        except NotConnected as error:
            self._missing(place, str(error))
            return
        place.own = peer.told.instance == self._here.instance
        if place.own:
            place.own_until = self._here.clock.seconds() + OWN_S
            peer.give_up()
            return
        place.peer, place.error = peer, ""
        self.log.info("connected to the peer {name}, version {version}", name=peer.name, version=peer.told.version)

    def _missing(self, place: Place, why: str) -> None:
        if why != place.error:
            self.log.warn("the peer {place} is missing: {why}", place=str(place.address), why=why)
        place.error = why

    def _lost(self, place: Place) -> None:
        if place.peer is not None:
            place.peer = None
            self._missing(place, "the connection to it was lost")

    def _asked(self, place: Place) -> Deferred[None]:
        """Fire when it has told of itself, or is given up."""
        peer = place.peer
        assert peer is not None

        def silent(failure: Failure) -> None:
            failure.trap(*FAILURES)
            if place.peer is peer:
                place.error = why(failure, ASK_S)

        def answered(_: None) -> None:
            if place.peer is peer:
                place.error = ""

        return ensureDeferred(peer.ask(self._here)).addTimeout(ASK_S, self._here.clock).addCallbacks(answered, silent)
