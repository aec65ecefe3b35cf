"""Where the primary is when the uplink is a name: the name is looked up, and its addresses are asked for their role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import TimeoutError, ensureDeferred
from twisted.internet.error import DNSLookupError

from redisproxy.config import Address, Settings, TcpAddress, UplinkSettings
from redisproxy.config.certificates import TLSFault
from redisproxy.net.deferreds import all_settled
from redisproxy.net.dialing import uplink_dial
from redisproxy.net.errors import UplinkError, UplinkUnavailable
from redisproxy.sentinel.answers import is_primary
from redisproxy.sentinel.wire import Line
from redisproxy.servers.credentials import credentials_of

if TYPE_CHECKING:
    from redisproxy.net.network import Network
    from redisproxy.sentinel.finder import Sentinel

SOONEST_S = 0.25
"""A name is not looked up more often than that, whatever its time to live."""
LOST_POLL_S = 0.5
"""How often it is looked up while there is no connection."""


class NamedFinder:
    """The name of one configuration. A name that has several addresses stands for the one that says it is a primary.

    @ivar error: why the primary was not found or not followed the last time; empty when it was.
    @ivar last_switch: what was told of the last change.
    @ivar poll_s: when to look again. @ivar sentinels: none tell of this one.
    """

    sentinels: Sequence[Sentinel] = ()
    hold_s = 0.0
    lost_poll_s = LOST_POLL_S

    def __init__(self, settings: Settings, network: Network, clock: Any, before: object = None) -> None:
        """
        @param before: the finder of the configuration before; of the same name, what it knew is still known.
        """
        uplink = settings.uplink
        assert uplink.watched_name is not None
        self._at = uplink.watched_name
        self.name = str(self._at)
        self.backoff_s = uplink.reconnect_min_ms / 1000, uplink.reconnect_max_ms / 1000
        self.poll_s = self._most_s = uplink.resolve_ms / 1000
        known = before if isinstance(before, NamedFinder) and before.watches(uplink) else None
        self.error = ""
        self.last_switch: dict[str, Any] = known.last_switch if known else {}
        self._of_replicas: bool = known._of_replicas if known else False
        self._places: list[TcpAddress] = []
        self._ttl_s: float | None = None
        self._settings = settings
        self._network = network
        self._clock = clock

    def watches(self, uplink: UplinkSettings) -> bool:
        """Whether `uplink` has the same name, looked up in the same way."""
        mine = self._settings.uplink
        return (mine.watched_name, mine.nameserver) == (uplink.watched_name, uplink.nameserver)

    async def find(self, current: Address | None = None, first: Sentinel | None = None) -> TcpAddress:
        """Where the primary is; a server that is not in use yet was asked for its role.

        @param current: the server in use. It is left only for another primary.
        @raise UplinkError: nobody knows, or no address is that of a primary.
        """
        places = await self._look_up()
        if places == [current]:
            return places[0]
        roles = await self._roles(places)
        primaries = [place for place in places if roles[place] is True]
        if primaries:
            self._of_replicas = False
            return next((place for place in primaries if place == current), primaries[0])
        return self._without_primary(places, roles, current)

    async def find_any(self) -> TcpAddress:
        """Where a server is, whatever its role: the target of a switchover may be a replica still.

        @raise UplinkError: the name has no address, or nobody answers at any.
        """
        places = await self._look_up()
        if len(places) == 1:
            return places[0]
        roles = await self._roles(places)
        return next((place for place in places if not isinstance(roles[place], UplinkError)), places[0])

    async def _look_up(self) -> list[TcpAddress]:
        """
        @raise UplinkUnavailable: the name can't be looked up, or points to the proxy itself.
        """
        uplink = self._settings.uplink
        asked = self._network.look_up(self._at.host, uplink.nameserver_address)
        try:
            pointing = await asked.addTimeout(uplink.connect_timeout_ms / 1000, self._clock)
        except DNSLookupError as error:
            raise UplinkUnavailable(str(error)) from error
        except TimeoutError:
            raise UplinkUnavailable(f"{self._at.host} can't be looked up: no answer") from None
        self._ttl_s = pointing.ttl_s
        self.poll_s = self._most_s if pointing.ttl_s is None else max(SOONEST_S, min(pointing.ttl_s, self._most_s))
        places = [TcpAddress(host, self._at.port) for host in pointing.hosts]
        self._places = [place for place in places if place not in self._settings.own_addresses]
        if not self._places:
            raise UplinkUnavailable(f"{self._at.host} is where the proxy itself listens")
        return self._places

    async def _roles(self, places: list[TcpAddress]) -> dict[TcpAddress, bool | UplinkError | None]:
        """Whether each says that it is a primary; None when it does not tell, or why it does not answer."""
        settled = await all_settled([ensureDeferred(self._role(place)) for place in places])
        return {place: role for place, (_, role) in zip(places, settled, strict=True)}

    async def _role(self, place: TcpAddress) -> bool | UplinkError | None:
        uplink = self._settings.uplink.at(place)
        name = f"{self._at.host} at {place}"
        try:
            line = Line(
                name,
                uplink_dial(self._network, uplink),
                credentials_of(uplink, self._network),
                self._clock,
                uplink.connect_timeout_ms / 1000,
            )
            return is_primary(*await line.ask(("ROLE",), ("INFO", "replication")))
        except TLSFault as fault:
            return UplinkUnavailable(f"uplink.{fault}")
        except UplinkError as error:
            return error

    def _without_primary(
        self,
        places: list[TcpAddress],
        roles: dict[TcpAddress, bool | UplinkError | None],
        current: Address | None,
    ) -> TcpAddress:
        """Whom to use when nobody says that it is a primary: somebody does not tell, or all were replicas ever since.

        @raise UplinkError: a primary has to be waited for.
        """
        silent = [place for place in places if roles[place] is None]
        replicas = [place for place in places if roles[place] is False]
        if current is None and replicas and not silent:
            self._of_replicas = True
        usable = silent or (replicas if self._of_replicas else [])
        if usable:
            return next((place for place in usable if place == current), usable[0])
        errors = [str(role) for role in roles.values() if isinstance(role, UplinkError)]
        raise UplinkUnavailable("; ".join([*errors, *(f"{self._at.host} at {each}: a replica" for each in replicas)]))

    def describe(self) -> dict[str, Any]:
        """What the pages show."""
        return {
            "name": self.name,
            "nameserver": self._settings.uplink.nameserver or "",
            "addresses": [str(place) for place in self._places],
            "ttl_s": self._ttl_s,
            "last_error": self.error,
            "last_switch": self.last_switch,
        }
