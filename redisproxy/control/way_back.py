"""The way back of the last switchover: which server was in use before, and whether it follows the one in use now.

It is known to this process only. After a restart the same is done by naming the server before in the configuration
file: the replication goes on without the proxy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redisproxy.control.answers import Answer
from redisproxy.control.errors import WrongState
from redisproxy.net.errors import UplinkError
from redisproxy.servers.connecting import connect_to
from redisproxy.switchover.way_back import WayBack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redisproxy.config import Address, SwitchoverSettings, UplinkSettings
    from redisproxy.control.configuration import Candidate, Configuration
    from redisproxy.net.network import Network

UNKNOWN = (
    "no server is known to go back to: this process has not switched over since it was started, or has gone elsewhere"
    " since. Name the server before in the configuration file, and run redisproxy switchover: if it still follows the"
    " one in use, that is the same"
)


FORGETTING = "change of the way back"


def file_advice(left: Address, in_use: Address) -> str:
    """What an operator has to do after going back, before anything else goes wrong."""
    return (
        f"the configuration file has to name {in_use}, the server in use: if it names {left} still, a reload is"
        " refused, and a restart of the proxy would go to that server, which refuses writes"
    )


class Return:
    """The server before, for as long as the one that was gone to is in use."""

    def __init__(self, configuration: Configuration, network: Network, clock: Any) -> None:
        self._configuration = configuration
        self._network = network
        self._clock = clock
        self._before: UplinkSettings | None = None
        self._after: UplinkSettings | None = None
        self._way = WayBack()

    def candidate(self) -> Candidate:
        """The configuration in force, with the server before.

        @raise WrongState: none is known.
        """
        return self._configuration.of_server_before(self._server_before())

    def settings(self) -> SwitchoverSettings:
        """How to go back: what the settings in force say of one direction is of the other one here."""
        return self._configuration.settings.switchover.mirrored(self._way.follows)

    def changed_at(self, uplink: UplinkSettings) -> dict[str, str]:
        """The replication settings that this server had before it was made to follow; of another one nothing."""
        setup = self._way.setup
        known = setup is not None and self._before is not None and self._before.address == uplink.address
        return setup.before if known and setup is not None else {}

    async def switched(self, before: UplinkSettings, after: UplinkSettings, way: WayBack) -> Sequence[str]:
        """A switchover has taken place; warnings.

        A server that was the way back until now, and is neither of the two, stops following.
        """
        earlier, earlier_way = self._before, self._way
        self._before, self._after, self._way = before, after, way
        if earlier is None or not earlier_way.follows or earlier.address in (before.address, after.address):
            return []
        try:
            return await self._release(earlier, earlier_way)
        except (UplinkError, WrongState) as error:
            return [f"{earlier.address}, which was the way back before, may still be a replica: {error}"]

    async def forget(self) -> Answer:
        """Have the server before follow no more. It stays fenced, with the data that it has.

        @raise WrongState: none is known, or it could not be told.
        """
        before, way = self._server_before(), self._way
        try:
            warnings = await self._release(before, way) if way.follows else []
        except UplinkError as error:
            raise WrongState(f"{before.address} may still follow: {error}") from error
        self._before, self._after, self._way = None, None, WayBack()
        return {"forgotten": str(before.address), "warnings": [*warnings]}

    def describe(self) -> Answer | None:
        """For the pages."""
        if self._before is None or not self._is_valid:
            return None
        return {"to": str(self._before.address), "follows": self._way.follows, "why_not": self._way.why_not}

    @property
    def _is_valid(self) -> bool:
        return self._after is not None and self._after.address == self._configuration.settings.uplink.address

    def _server_before(self) -> UplinkSettings:
        if self._before is None or not self._is_valid:
            raise WrongState(UNKNOWN)
        return self._before

    async def _release(self, uplink: UplinkSettings, way: WayBack) -> list[str]:
        server = await connect_to(uplink, f"the server before ({uplink.address})", self._network, self._clock)
        try:
            state = await server.state()
            source = way.source
            if state.role == "slave":
                if source is None or state.primary != (source.host, source.port):
                    raise WrongState(
                        "{} follows {}:{} by now, and was left alone".format(uplink.address, *state.primary)
                    )
                await server.stop_following(state)
            return await way.setup.restore(server) if way.setup is not None else []
        finally:
            server.close()
