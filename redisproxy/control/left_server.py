"""The server that was left by going back: the file may name it still, perhaps by another address than before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisproxy.dataplane.interface import Rejected
from redisproxy.servers.connecting import connect_to

if TYPE_CHECKING:
    from redisproxy.control.configuration import Candidate, Configuration
    from redisproxy.net.network import Network


class LeftServer:
    """Keeps a reload from it. The address that it was left by is refused by L{Configuration} already."""

    def __init__(self, configuration: Configuration, network: Network, clock: Any) -> None:
        self._configuration = configuration
        self._network = network
        self._clock = clock

    async def refuse(self, candidate: Candidate) -> None:
        """Look at the server of `candidate`, if one was left.

        @raise Rejected: it is fenced. @raise UplinkError: it does not answer.
        """
        uplink, in_use = candidate.settings.uplink, self._configuration.settings.uplink.address
        if self._configuration.left is None or uplink.address == in_use:
            return
        server = await connect_to(uplink, f"the server at {uplink.address}", self._network, self._clock)
        try:
            fenced = (await server.state()).fenced
        finally:
            server.close()
        if fenced:
            raise Rejected(
                f"uplink: {uplink.address} is fenced and refuses writes: it may be {self._configuration.left}, which"
                f" was left by going back. Have the configuration file name {in_use}, the server in use; or, to use"
                f" {uplink.address} as it is, lift its fence (redisproxy unfence)"
            )
