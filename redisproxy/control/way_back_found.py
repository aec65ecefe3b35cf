"""Finds the way back again after a restart, from the servers' own words: who is fenced and follows the one in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisproxy.config import TcpAddress
from redisproxy.control.errors import WrongState
from redisproxy.net.errors import UplinkError
from redisproxy.servers.connecting import connect_to
from redisproxy.switchover.preflight import Source
from redisproxy.switchover.replica_setup import ReplicaSetup
from redisproxy.switchover.way_back import WayBack

if TYPE_CHECKING:
    from redisproxy.config import UplinkSettings
    from redisproxy.net.network import Network
    from redisproxy.servers.state import ServerState

MOST = 20
NAME_IT = (
    "Name the server before in the configuration file, and run redisproxy switchover: if it still follows the one in"
    " use, that is the same"
)


class WayBackFound:
    """Asks servers.

    @param uplink: of the server in use; replicas are reached with the same login, TLS and limits.
    """

    def __init__(self, uplink: UplinkSettings, network: Network, clock: Any) -> None:
        self._uplink = uplink
        self._network = network
        self._clock = clock
        self._unasked: list[str] = []

    async def find(self) -> tuple[UplinkSettings, WayBack]:
        """The server before.

        @raise WrongState: none can be found, or more than one; the text says what to do.
        """
        in_use = self._uplink.address
        try:
            state = await self._state(self._uplink)
        except UplinkError as error:
            raise WrongState(f"no server is known to go back to, and {in_use} can't be asked: {error}") from error
        ways = [way for address in state.replicas[:MOST] if (way := await self._way(state, address))]
        if len(ways) == 1:
            return ways[0]
        if ways:
            names = ", ".join(str(uplink.address) for uplink, _ in ways)
            raise WrongState(f"several servers that a switchover has left follow {in_use}: {names}. {NAME_IT}")
        raise WrongState(
            "no server is known to go back to: this process has not switched over since it was started, or has gone"
            f" elsewhere since, and no server that a switchover has left follows {in_use}"
            f"{''.join(f'; {each}' for each in self._unasked)}. {NAME_IT}"
        )

    async def _way(self, in_use: ServerState, address: tuple[str, int]) -> tuple[UplinkSettings, WayBack] | None:
        uplink = _at(self._uplink, TcpAddress(*address))
        try:
            state = await self._state(uplink)
        except UplinkError as error:
            self._unasked.append(f"{uplink.address}, which follows it, can't be asked ({error})")
            return None
        if not (state.fenced and state.role == "slave" and state.replication_id == in_use.replication_id):
            return None
        source = Source(*state.primary)
        return uplink, WayBack(source=source, setup=ReplicaSetup(source, None, None), found=True)

    async def _state(self, uplink: UplinkSettings) -> ServerState:
        server = await connect_to(uplink, f"the server at {uplink.address}", self._network, self._clock)
        try:
            return await server.state()
        finally:
            server.close()


def _at(uplink: UplinkSettings, address: TcpAddress) -> UplinkSettings:
    return uplink.model_copy(update={"addr": str(address), "network": "tcp"})
