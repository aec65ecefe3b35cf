"""Opening transports to the Redis server and to the sentinels that know where it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail

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
    address, tls = uplink.address, uplink_tls(uplink)
    if isinstance(address, Undiscovered):
        return lambda _: fail(UplinkUnavailable(f"no sentinel has told yet where {address.host} is"))
    return _dial(network, uplink, address, tls, uplink.connect_timeout_ms)


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
