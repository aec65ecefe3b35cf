"""The way back of the last switchover: which server was in use before, and whether it follows the one in use now.

An upgrade hands it on. After a restart it is found again, if the server before follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger

from redisproxy.control.answers import Answer
from redisproxy.control.errors import WrongState
from redisproxy.control.way_back_found import WayBackFound
from redisproxy.control.way_back_value import from_value, to_value
from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.net.errors import UplinkError
from redisproxy.servers.connecting import connect_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from twisted.python.failure import Failure

    from redisproxy.config import Address, SwitchoverSettings, UplinkSettings
    from redisproxy.control.configuration import Candidate, Configuration
    from redisproxy.control.results import Results
    from redisproxy.control.way_back_value import Known
    from redisproxy.dataplane.interface import DataPlane
    from redisproxy.net.network import Network
    from redisproxy.switchover.replica_setup import ReplicaSetup
    from redisproxy.switchover.way_back import WayBack

FORGETTING = "change of the way back"
BY_ADDRESS = (
    "sentinels told where the server before was, and they watch another one now. Name it by its IP address in the"
    " configuration file, set switchover.sentinel_monitor, and run redisproxy switchover"
)
SetBack = Callable[[], "Awaitable[list[str] | None]"]
"""Has whoever made the server in use follow, once, set back its settings; warnings, or None when nobody knows them."""


def file_advice(left: Address, in_use: Address) -> str:
    """What an operator has to do after going back, before anything else goes wrong."""
    return (
        f"the configuration file has to name {in_use}, the server in use: if it names {left} still, a reload is"
        " refused, and a restart of the proxy would go to that server, which refuses writes"
    )


class Return:
    """The server before, for as long as the one that was gone to is in use.

    @ivar others_set_back: asks the peers.
    """

    log = Logger(namespace="redisproxy.switchover")

    def __init__(self, configuration: Configuration, results: Results, network: Network, clock: Any) -> None:
        """
        @param results: keep it for the process that takes this one's place, or have it from the one before.
        """
        self._configuration = configuration
        self._results = results
        self._network = network
        self._clock = clock
        self._looking: Deferred[None] | None = None
        self.others_set_back: SetBack = _nobody_knows

    def start(self, dataplane: DataPlane) -> None:
        """Look for it as soon as the server has answered the data plane, if the settings say that there may be one."""
        if self._configuration.settings.switchover.keep_way_back:
            looking = dataplane.server_known().addCallback(lambda _: ensureDeferred(self._known_or_found()))
            self._looking = looking.addCallbacks(lambda _: None, self._failed)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(WrongState, DataPlaneLost, CancelledError):
            self.log.failure("looking for the way back failed", failure=failure)

    def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()

    @property
    def _last(self) -> Known | None:
        """What is known of the last switchover."""
        return from_value(self._results.way_back) if self._results.way_back else None

    @property
    def _known(self) -> Known | None:
        """What is known, and holds for the server in use."""
        last = self._last
        return last if last is not None and last[1].address == self._configuration.settings.uplink.address else None

    def _know(self, known: Known | None) -> None:
        self._results.way_back = {} if known is None else to_value(*known)

    async def candidate(self) -> Candidate:
        """The configuration in force, with the server before.

        @raise WrongState: none is known, and none can be found; or sentinels told where it was, and no longer do.
        """
        before, _, _ = await self._known_or_found()
        if before.sentinels:
            raise WrongState(BY_ADDRESS)
        return self._configuration.of_server_before(before)

    async def _known_or_found(self) -> Known:
        if (known := self._known) is not None:
            return known
        in_use = self._configuration.settings.uplink
        found = await self._found(in_use)
        if (known := self._known) is not None:  # it was told meanwhile
            return known
        self._know(found)
        self.log.info("{before} is found to follow {uplink}", before=found[0].address, uplink=in_use.address)
        return found

    async def _found(self, in_use: UplinkSettings) -> Known:
        try:
            before, way = await WayBackFound(in_use, self._network, self._clock).find()
        except WrongState as error:
            if (last := self._last) is None:
                raise
            here, there, _ = last
            moved = f"the clients have left {there.address} since, so that {here.address} is no way back any more"
            raise WrongState(f"{moved}: the configuration file has named {in_use.address} then; {error}") from error
        return before, in_use, way

    def settings(self) -> SwitchoverSettings:
        """How to go back: what the settings in force say of one direction is of the other one here."""
        known = self._known
        return self._configuration.settings.switchover.mirrored(known is not None and known[2].follows)

    def left_at(self, uplink: UplinkSettings) -> tuple[dict[str, str], str]:
        """What is known of this server from the time when it was left; of another one nothing.

        The replication settings that it had before it was made to follow, and L{WayBack.left}.
        """
        known = self._known
        if known is None or known[0].address != uplink.address:
            return {}, ""
        way = known[2]
        return {} if way.setup is None else dict(way.setup.before), way.left

    async def switched(self, before: UplinkSettings, after: UplinkSettings, way: WayBack) -> Sequence[str]:
        """A switchover has taken place; warnings.

        A server that was the way back until now, and is neither of the two, stops following.
        """
        earlier = self._last
        self._know((before, after, way))
        warnings = await self._set_back_by_others(after) if earlier and _is_found(earlier, after) else []
        if earlier is None or not earlier[2].follows or earlier[0].address in (before.address, after.address):
            return warnings
        try:
            return await self._release(earlier[0], earlier[2])
        except (UplinkError, WrongState) as error:
            return [f"{earlier[0].address}, which was the way back before, may still be a replica: {error}"]

    async def _set_back_by_others(self, uplink: UplinkSettings) -> list[str]:
        warnings = await self.others_set_back()
        return _unknown_settings(uplink) if warnings is None else warnings

    def setup_of(self, uplink: UplinkSettings) -> ReplicaSetup | None:
        """How this proxy made this server follow; None if it has not."""
        known = self._known
        return None if known is None or known[2].found or known[0].address != uplink.address else known[2].setup

    def told(self, way: Mapping[str, Any]) -> None:
        """A peer has led the last switchover: what it says of the server before, as in L{to_value}, without secrets."""
        follows = way.get("source") is not None
        value = {**self._results.way_back, **way, "settings_before": {} if follows else None, "found": follows}
        if from_value(value) is not None:
            self._results.way_back = value

    async def forget(self) -> Answer:
        """Have the server before follow no more. It stays fenced, with the data that it has.

        @raise WrongState: none is known, or it could not be told.
        """
        known = (before, _, way) = await self._known_or_found()
        try:
            warnings = await self._release(before, way) if way.follows else []
        except UplinkError as error:
            raise WrongState(f"{before.address} may still follow: {error}") from error
        if _is_found(known, before):
            warnings += _unknown_settings(before)
        self._know(None)
        return {"forgotten": str(before.address), "warnings": [*warnings]}

    def describe(self) -> Answer | None:
        """For the pages."""
        if (known := self._known) is None:
            return None
        before, _, way = known
        return {"to": str(before.address), "follows": way.follows, "why_not": way.why_not}

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

    async def set_back(self, uplink: UplinkSettings, setup: ReplicaSetup) -> list[str]:
        """Set back the settings of a server that followed; warnings."""
        try:
            server = await connect_to(uplink, f"the server {uplink.address}", self._network, self._clock)
        except UplinkError as error:
            return [f"the settings that {uplink.address} had before it followed could not be set back: {error}"]
        try:
            return await setup.restore(server)
        finally:
            server.close()


async def _nobody_knows() -> list[str] | None:
    return None


def _is_found(known: Known, uplink: UplinkSettings) -> bool:
    """Whether this is the server before, which was found, so that its settings are not known."""
    return known[2].found and known[0].address == uplink.address


def _unknown_settings(uplink: UplinkSettings) -> list[str]:
    return [
        f"{uplink.address} was found again after a restart of the proxy, or made to follow by a peer that is gone, with"
        " the login that the configuration file has for uplink: its masteruser, masterauth and tls-replication are as"
        " the switchover has set them, because nobody knows what they were before"
    ]
