"""Opening transports to the Redis server and to the sentinels that know where it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, ensureDeferred, fail
from twisted.internet.error import ConnectError

from redisproxy.config import Address, TcpAddress, Undiscovered, UplinkSettings
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.net.sockets import set_keepalive, set_user_timeout
from redisproxy.net.tls import sentinel_tls, uplink_tls

if TYPE_CHECKING:
    from redisproxy.net.network import Network

Dial = Callable[[Callable[[], Any]], "Deferred[Any]"]
"""Opens one transport for the protocol that the given callable makes."""


def uplink_dial(network: Network, uplink: UplinkSettings) -> Dial:
    """How to reach the server in `uplink`. One that no sentinel has told of can't be reached.

    @raise TLSFault: its certificates can't be used.
    """
    place, tls = uplink.place, uplink_tls(uplink)
    if isinstance(place, Undiscovered):
        return lambda _: fail(UplinkUnavailable(f"no sentinel has told yet where {place.host} is"))
    dial = partial(_dial, network, uplink, tls=tls, timeout_ms=uplink.connect_timeout_ms)
    nameserver, name = uplink.nameserver_address, uplink.watched_name
    if nameserver is None or name is None or uplink.found is not None:
        return dial(place)
    return lambda factory: ensureDeferred(_at_any(network, name, nameserver, dial, factory))


async def _at_any(
    network: Network, name: TcpAddress, nameserver: TcpAddress, dial: Callable[[Address], Dial], make: Callable[[], Any]
) -> Any:
    """Connect to the first address of a name that takes the connection."""
    error: Exception = UplinkUnavailable(f"{name.host} has no address")
    for host in (await network.look_up(name.host, nameserver)).hosts:
        try:
            return await dial(TcpAddress(host, name.port))(make)
        except ConnectError as failed:
            error = failed
    raise error


def sentinel_dial(network: Network, uplink: UplinkSettings, sentinel: TcpAddress) -> Dial:
    """How to reach one of the sentinels of `uplink`.

    @raise TLSFault: its certificates can't be used.
    """
    tls = sentinel_tls(uplink, sentinel.host)
    return _dial(network, uplink, sentinel, tls, uplink.sentinel_timeout_ms)


def _dial(network: Network, uplink: UplinkSettings, address: Address, tls: object, timeout_ms: int) -> Dial:
    keep = uplink.tcp_keepalive

    def connected(protocol: Any) -> Any:
        set_keepalive(protocol.transport, keep.idle_s, keep.interval_s, keep.count)
        if uplink.ping_interval_ms:
            set_user_timeout(protocol.transport, uplink.ping_interval_ms + uplink.ping_timeout_ms)
        return protocol

    def dial(factory: Callable[[], Any]) -> Deferred[Any]:
        return network.connect(address, factory, tls, timeout_ms / 1000).addCallback(connected)

    return dial
