"""Where the primary is: the sentinels are asked, and the server that they name has to say so itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from redisproxy.config import Address, Settings, TcpAddress, UplinkSettings
from redisproxy.config.certificates import TLSFault
from redisproxy.net.dialing import sentinel_dial, uplink_dial
from redisproxy.net.errors import UplinkError, UplinkUnavailable
from redisproxy.sentinel.answers import (
    Said,
    UnknownName,
    candidates,
    epoch_of,
    is_fenced,
    is_primary,
    primary_of,
    settled,
)
from redisproxy.sentinel.wire import Line
from redisproxy.servers.control_connection import ServerSaidNo
from redisproxy.servers.credentials import credentials_of, sentinel_credentials_of

if TYPE_CHECKING:
    from redisproxy.net.network import Network


NOBODY_WATCHES = (
    ". They watch nobody: if a switchover with switchover.sentinel_monitor was cut short, see which server has the"
    " data, and tell each of them SENTINEL MONITOR"
)


class Sentinel:
    """One sentinel and what is known of it.

    @ivar said: its last answer. @ivar error: why it gave none the last time; empty when it did.
    @ivar subscribed: whether its events are heard. @ivar deaf: why not.
    """

    def __init__(self, address: TcpAddress, line: Line) -> None:
        self.address = address
        self.line = line
        self.said: Said | None = None
        self.error = ""
        self.subscribed = False
        self.deaf = ""

    async def ask(self, name: str) -> Said:
        """Ask for the primary called `name`.

        @raise UplinkError: it does not answer, does not know, or answers nonsense.
        """
        where, about = await self.line.ask(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name), ("SENTINEL", "MASTER", name))
        if isinstance(where, ServerSaidNo):
            raise where
        try:
            return Said(primary_of(where, name), epoch_of(about))
        except UplinkUnavailable as error:
            raise type(error)(f"{self.line.name}: {error}") from None

    def describe(self) -> dict[str, Any]:
        """What the pages show of it."""
        return {
            "address": str(self.address),
            "subscribed": self.subscribed,
            "primary": str(self.said.primary) if self.said else "",
            "epoch": self.said.epoch if self.said else 0,
            "error": self.error or self.deaf,
        }


class Finder:
    """The sentinels of one configuration.

    @ivar error: why the primary was not found or not followed the last time; empty when it was.
    @ivar last_switch: what was told of the last change of the primary.
    """

    log = Logger(namespace="redisproxy.sentinel")

    def __init__(self, settings: Settings, network: Network, clock: Any, before: object = None) -> None:
        """
        @param before: those of the configuration before; of the same primary, what they knew is still known.
        @raise TLSFault: the certificates for the sentinels can't be used.
        """
        uplink = settings.uplink
        self.name = uplink.master_name or ""
        self.poll_s = self.lost_poll_s = uplink.sentinel_poll_ms / 1000
        self.hold_s = uplink.sentinel_hold_ms / 1000
        self.backoff_s = uplink.reconnect_min_ms / 1000, uplink.reconnect_max_ms / 1000
        self.error = ""
        self.last_switch: dict[str, Any] = {}
        self._disagreement = ""
        self._settings = settings
        self._network = network
        self._clock = clock
        known = before if isinstance(before, Finder) and before.watches(uplink) else None
        self._known_epoch: int = known._known_epoch if known is not None else 0
        self._may_be_fenced = known is None
        self.sentinels = [self._sentinel(address) for address in uplink.sentinel_addresses]

    def watches(self, uplink: UplinkSettings) -> bool:
        """Whether `uplink` names the same sentinels and primary."""
        mine = self._settings.uplink
        return (mine.sentinels, mine.master_name) == (uplink.sentinels, uplink.master_name)

    def _sentinel(self, address: TcpAddress) -> Sentinel:
        uplink = self._settings.uplink
        dial = sentinel_dial(self._network, uplink, address)
        credentials = sentinel_credentials_of(uplink)
        timeout_s = uplink.sentinel_timeout_ms / 1000
        return Sentinel(address, Line(f"sentinel {address}", dial, credentials, self._clock, timeout_s))

    async def find(self, current: Address | None = None, first: Sentinel | None = None) -> TcpAddress:
        """Where the primary is; a server that is not in use yet was asked for its role.

        One that is fenced was left by a failover of which these sentinels have not heard; at the start there may be no
        other one.

        @param current: the server in use. @param first: the sentinel to ask before the others.
        @raise UplinkError: nobody knows, or the server that they name is no primary.
        """
        said = await self._ask(first)
        refused = []
        for address in candidates(said, len(self.sentinels), self._known_epoch, current):
            try:
                if address != current:
                    await self._verify(address, current is None and self._may_be_fenced)
            except UplinkError as error:
                refused.append(str(error))
            else:
                self._known_epoch = max(each.epoch for each in said)
                return address
        raise UplinkUnavailable("; ".join(refused))

    async def _ask(self, first: Sentinel | None) -> list[Said]:
        """Ask the sentinels in turn until most of them agree, those that did not answer the last time at the end."""
        said: list[Said] = []
        unknown = 0
        for sentinel in sorted(self.sentinels, key=lambda each: (each is not first, bool(each.error))):
            try:
                sentinel.said = await sentinel.ask(self.name)
            except UplinkError as error:
                unknown += isinstance(error, UnknownName)
                self._note(sentinel, str(error))
                continue
            self._note(sentinel, "")
            said.append(sentinel.said)
            if settled(said, len(self.sentinels), self._known_epoch):
                break
        if not said:
            hint = NOBODY_WATCHES if unknown == len(self.sentinels) else ""
            raise UplinkUnavailable("; ".join(each.error for each in self.sentinels) + hint)
        self._compare(said)
        return said

    def _compare(self, said: list[Said]) -> None:
        """Log what they say when they do not all say the same, once."""
        words = {f"{each.primary} (change {each.epoch})" for each in said}
        disagreement = " or ".join(sorted(words)) if len({each.primary for each in said}) > 1 else ""
        if disagreement and disagreement != self._disagreement:
            self.log.warn("{name}: the sentinels disagree: {words}", name=self.name, words=disagreement)
        self._disagreement = disagreement

    def _note(self, sentinel: Sentinel, error: str) -> None:
        if error and error != sentinel.error:
            self.log.warn("{error}", error=error)
        sentinel.error = error

    async def _verify(self, address: TcpAddress, may_be_fenced: bool) -> None:
        """
        @raise UplinkError: the server there does not say that it is a primary, or is fenced.
        """
        line = self._line_to(address)
        role, info, fence = await line.ask(
            ("ROLE",), ("INFO", "replication"), ("CONFIG", "GET", "min-replicas-to-write")
        )
        primary = is_primary(role, info)
        if primary is None:
            raise UplinkUnavailable(f"{line.name}: it does not tell whether it is a primary")
        if not primary:
            raise UplinkUnavailable(f"{line.name}: it is still a replica")
        if not may_be_fenced and is_fenced(fence):
            raise UplinkUnavailable(f"{line.name}: it is fenced, and was left by a failover; else: redisproxy unfence")

    def _line_to(self, address: TcpAddress) -> Line:
        uplink = self._settings.uplink.at(address)
        name = f"the primary that the sentinels name ({address})"
        if address in self._settings.own_addresses:
            raise UplinkUnavailable(f"{name}: this is where the proxy itself listens")
        try:
            dial = uplink_dial(self._network, uplink)
        except TLSFault as fault:
            raise UplinkUnavailable(f"uplink.{fault}") from fault
        return Line(name, dial, credentials_of(uplink, self._network), self._clock, uplink.connect_timeout_ms / 1000)

    def describe(self) -> dict[str, Any]:
        """What the pages show."""
        return {
            "master_name": self.name,
            "sentinels": [sentinel.describe() for sentinel in self.sentinels],
            "last_error": self.error,
            "last_switch": self.last_switch,
        }
