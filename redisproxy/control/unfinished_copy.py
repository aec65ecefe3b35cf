"""A server with a part of the data: the file may name it still when the switchover that copied did not take place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisproxy.dataplane.interface import Rejected
from redisproxy.servers.connecting import connect_to
from redisproxy.servers.copy_marker import Marked, marked

if TYPE_CHECKING:
    from redisproxy.config import UplinkSettings
    from redisproxy.control.configuration import Candidate, Configuration
    from redisproxy.net.network import Network


class UnfinishedCopy:
    """Keeps a reload from it."""

    def __init__(self, configuration: Configuration, network: Network, clock: Any) -> None:
        self._configuration = configuration
        self._network = network
        self._clock = clock

    async def refuse(self, candidate: Candidate) -> None:
        """Look at the server of `candidate`, if a copy to it was not finished.

        @raise Rejected: it is marked still. @raise UplinkError: it does not answer.
        """
        uplink, in_use = candidate.settings.uplink, self._configuration.settings.uplink.address
        if uplink.address != self._configuration.unfinished or uplink.address == in_use:
            return
        if await self._is_marked(uplink):
            raise Rejected(
                f"uplink: {uplink.address} holds an unfinished copy, left by a switchover that did not take place: run"
                f" redisproxy switchover again, or have the configuration file name {in_use}, the server in use. To use"
                f" {uplink.address} without the data, empty it (FLUSHALL)"
            )
        self._configuration.unfinished = None

    async def _is_marked(self, uplink: UplinkSettings) -> bool:
        in_use = self._configuration.settings.uplink.address
        server = await connect_to(uplink, f"the new server ({uplink.address})", self._network, self._clock)
        try:
            return await marked(server, in_use) is Marked.COPYING
        finally:
            server.close()
