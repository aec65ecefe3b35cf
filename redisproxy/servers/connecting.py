"""Opening a connection to a server of the configuration, to ask it and to tell it something beside the clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisproxy.config.certificates import TLSFault
from redisproxy.net.dialing import uplink_dial
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.servers.credentials import credentials_of
from redisproxy.servers.redis_server import RedisServer, open_control

if TYPE_CHECKING:
    from redisproxy.config import UplinkSettings
    from redisproxy.net.network import Network


async def connect_to(uplink: UplinkSettings, name: str, network: Network, clock: Any) -> RedisServer:
    """Log in at the server in `uplink`, which messages call `name`.

    @raise UplinkError: it can't be had.
    """
    try:
        dial = uplink_dial(network, uplink)
    except TLSFault as error:
        raise UplinkUnavailable(f"{name}: {error}") from error
    return await open_control(name, dial, credentials_of(uplink, network), clock, uplink.connect_timeout_ms / 1000)
