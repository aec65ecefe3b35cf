"""A server that a switchover did not get to: the file may name it still, and it has a part of the data, or follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisproxy.dataplane.interface import Rejected
from redisproxy.servers.connecting import connect_to
from redisproxy.servers.copy_marker import Marked, marked

if TYPE_CHECKING:
    from redisproxy.config import UplinkSettings
    from redisproxy.control.configuration import Candidate, Configuration
    from redisproxy.net.network import Network


class UnfinishedSwitchover:
    """Keeps a reload from it."""

    def __init__(self, configuration: Configuration, network: Network, clock: Any) -> None:
        self._configuration = configuration
        self._network = network
        self._clock = clock

    async def refuse(self, candidate: Candidate) -> None:
        """Look at the server of `candidate`, if a switchover to it did not take place.

        @raise Rejected: clients can't work there. @raise UplinkError: it does not answer.
        """
        uplink, in_use = candidate.settings.uplink, self._configuration.settings.uplink.address
        if uplink.address != self._configuration.unfinished or uplink.address == in_use:
            return
        why, instead = await self._why_not(uplink)
        if why:
            raise Rejected(
                f"uplink: {uplink.address} {why}, left by a switchover that did not take place: run redisproxy"
                f" switchover again, or have the configuration file name {in_use}, the server in use. To use"
                f" {uplink.address} {instead}"
            )
        self._configuration.unfinished = None

    async def _why_not(self, uplink: UplinkSettings) -> tuple[str, str]:
        """What keeps clients from that server, and how to use it all the same; empty if nothing does."""
        in_use = self._configuration.settings.uplink.address
        server = await connect_to(uplink, f"the new server ({uplink.address})", self._network, self._clock)
        try:
            if await marked(server, in_use) is Marked.COPYING:
                return "holds an unfinished copy", "without the data, empty it (FLUSHALL)"
            if (await server.replication()).role == "slave":
                return "is a replica and takes no writes", "as it is, promote it (REPLICAOF NO ONE)"
            return "", ""
        finally:
            server.close()
