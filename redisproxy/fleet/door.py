"""Where peers connect: takes connections, within bounds, and answers what comes on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger

from redisproxy.fleet.channel import Channel
from redisproxy.net.few_lines import SELDOM_S, FewLines

if TYPE_CHECKING:
    from redisproxy.remote.link import Link

MAX_UNPROVEN = 64
MAX_UNPROVEN_OF_HOST = 8
MAX_CONNECTIONS = 256
TOO_MANY = "too many are connected that have not proven that they belong to the fleet"


class Door(Factory[Any]):
    """Implements C{channel.Judge}.

    @param key: gives the secret of the moment. @param link: makes what speaks on a connection whose other side has
        proven itself.
    """

    log = Logger(namespace="redisproxy.fleet")
    noisy = False

    def __init__(self, key: Callable[[], bytes], link: Callable[[], Link], clock: IReactorTime) -> None:
        self._key = key
        self._link = link
        self._clock = clock
        self._channels: dict[Channel, None] = {}
        self._unproven: Counter[str] = Counter()
        self._hosts: dict[Channel, str] = {}
        self._refusals = FewLines(clock.seconds, 1, SELDOM_S)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Part of C{IProtocolFactory}; None refuses."""
        host = str(getattr(addr, "host", ""))
        if (host and self._unproven[host] >= MAX_UNPROVEN_OF_HOST) or len(self._channels) >= MAX_CONNECTIONS:
            self._say(host, TOO_MANY)
            return None
        if len(self._hosts) >= MAX_UNPROVEN:
            self._give_up(next(iter(self._hosts)))  # a peer proves itself at once: it is seldom the oldest
        channel = Channel(self._key(), False, self._link, self, self._clock)
        self._channels[channel] = None
        self._count(channel, host)
        return channel

    def _count(self, channel: Channel, host: str) -> None:
        self._hosts[channel] = host
        self._unproven[host] += 1

    def _give_up(self, channel: Channel) -> None:
        self._judged(channel)
        self._say(channel.host, TOO_MANY)
        channel.give_up()

    def close(self) -> None:
        """Part with everybody."""
        for channel in list(self._channels):
            channel.give_up()

    # -- channel.Judge

    def arrived(self, channel: Channel) -> None:
        if channel not in self._hosts or channel.host in ("", self._hosts[channel]):
            return
        self._judged(channel)
        self._count(channel, channel.host)
        if self._unproven[channel.host] > MAX_UNPROVEN_OF_HOST:
            self._give_up(channel)

    def proven(self, channel: Channel) -> None:
        self._judged(channel)

    def refused(self, channel: Channel, why: str) -> None:
        self._judged(channel)
        self._say(channel.host, why)

    def ended(self, channel: Channel) -> None:
        self._judged(channel)
        self._channels.pop(channel, None)

    def _judged(self, channel: Channel) -> None:
        host = self._hosts.pop(channel, None)
        if host is None:
            return
        self._unproven[host] -= 1
        if not self._unproven[host]:
            del self._unproven[host]

    def _say(self, host: str, why: str) -> None:
        more = self._refusals.another()
        if more is not None:
            self.log.warn("a connection from {host} was refused: {why}{more}", host=host or "?", why=why, more=more)
