"""The servers of a failover: the primary, and the replicas of which the sentinels will promote one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import ensureDeferred

from redisproxy.net.deferreds import all_settled
from redisproxy.net.errors import UplinkError
from redisproxy.sentinel.failing_over import Watched, inspect
from redisproxy.servers.connecting import connect_to
from redisproxy.servers.state import ServerState
from redisproxy.switchover.failure import refuse

if TYPE_CHECKING:
    from redisproxy.config import TcpAddress, UplinkSettings
    from redisproxy.net.network import Network
    from redisproxy.sentinel.finder import Finder
    from redisproxy.servers.redis_server import RedisServer


class SentinelGroup:
    """Control connections to all of them.

    @ivar primary: the address of the server in use. @ivar old: its state at the preflight.
    @ivar watched: the sentinel that gets the order, and what it knows. @ivar name: what sentinels call the primary.
    """

    watched: Watched
    old: ServerState

    def __init__(
        self, finder: Finder, uplink: UplinkSettings, primary: TcpAddress, network: Network, clock: Any
    ) -> None:
        self.primary = primary
        self.name = finder.name
        self._finder = finder
        self._uplink = uplink
        self._network = network
        self._clock = clock
        self._open: dict[TcpAddress, RedisServer] = {}

    @property
    def candidates(self) -> list[TcpAddress]:
        """The replicas that may be promoted, the likeliest first."""
        return [replica.address for replica in self.watched.candidates]

    async def at(self, address: TcpAddress, anew: bool = False) -> RedisServer:
        """The control connection to a server of the group.

        @param anew: close the one that there is first.
        @raise UplinkError: it can't be reached.
        """
        if anew and address in self._open:
            self._open.pop(address).close()
        if address not in self._open:
            self._open[address] = await connect_to(
                self._uplink.at(address), f"the server {address}", self._network, self._clock
            )
        return self._open[address]

    def close(self) -> None:
        """Close all connections."""
        for server in self._open.values():
            server.close()
        self._open.clear()

    async def look(self) -> list[str]:
        """Find out whether a failover may begin; warnings.

        @raise SwitchoverFailed: it may not; the text has every reason. @raise UplinkError: a server can't be reached.
        """
        found = await inspect(self._finder, self.primary)
        refuse(found.faults or (() if found.watched else found.silent))
        self.watched = watched = found.watched[0]
        self.old = await (await self.at(self.primary)).state()
        states = {each: await (await self.at(each)).state() for each in self.candidates}
        refuse([*_faults_of_primary(self.old), *_faults_of_replicas(states, self.old)])
        return [*found.silent, *_warnings(states), *_left_out(watched)]

    async def every_sentinel_stays(self) -> bool:
        """Whether all sentinels answer, and take the server in use for the primary."""
        asked = await all_settled([ensureDeferred(each.ask(self.name)) for each in self._finder.sentinels])
        return all(good and said.primary == self.primary for good, said in asked)

    async def states(self) -> dict[TcpAddress, ServerState | UplinkError]:
        """What the candidates say of their replication now, or why one does not; lost connections are made anew."""
        candidates = self.candidates
        settled = await all_settled([ensureDeferred(self._state(each)) for each in candidates])
        return {each: state for each, (_, state) in zip(candidates, settled, strict=True)}

    async def _state(self, address: TcpAddress) -> ServerState | UplinkError:
        try:
            return await (await self.at(address)).replica()
        except UplinkError:
            pass  # a sentinel closes all connections to whom it promotes
        try:
            return await (await self.at(address, anew=True)).replica()
        except UplinkError as error:
            return error

    async def replication_of(self, address: TcpAddress) -> ServerState:
        """How a server stands now; a sentinel that promotes it closes the connections that there are.

        @raise UplinkError: it can't be reached.
        """
        try:
            return await (await self.at(address)).replication()
        except UplinkError:
            return await (await self.at(address, anew=True)).replication()

    async def promoted(self) -> tuple[TcpAddress, ServerState] | None:
        """Whom a sentinel has promoted; None as long as there is nobody."""
        for address, state in (await self.states()).items():
            if isinstance(state, ServerState) and state.role == "master":
                return address, state
        return None


def _faults_of_primary(old: ServerState) -> Iterator[str]:
    if old.role != "master":
        yield "the server in use is a replica itself: {}:{} is its primary".format(*old.primary)
    if not old.can_config:
        yield "the primary does not allow CONFIG, which the fence needs: SENTINEL FAILOVER moves it without a fence"
    if old.fenced:
        yield "the primary is fenced already: it refuses writes now (redisproxy unfence lifts that)"


def _faults_of_replicas(states: dict[TcpAddress, ServerState], old: ServerState) -> Iterator[str]:
    for address, state in states.items():
        if not state.link_up or state.replication_id != old.replication_id:
            yield (
                f"the replica {address} is not in step, and a sentinel might promote it: wait until it is, or set its"
                " replica-priority to 0 ten seconds before"
            )
        elif not state.can_config:
            yield f"the replica {address} does not allow CONFIG, which is needed to fence it as a primary later"
        elif state.errors_in_replication:
            yield (
                f"the replica {address} has answered {state.errors_in_replication} commands of the primary with errors,"
                " and may lack what they wrote; if it lacks nothing, CONFIG RESETSTAT"
            )


def _warnings(states: dict[TcpAddress, ServerState]) -> Iterator[str]:
    for address, state in states.items():
        if state.min_replicas and not state.fenced:
            yield (
                f"{address} takes writes only with {state.min_replicas} replicas (min-replicas-to-write), and has none"
                " at first: clients may be answered NOREPLICAS for a moment if it is promoted"
            )


def _left_out(watched: Watched) -> Iterator[str]:
    for replica in watched.replicas:
        if not replica.may_be_promoted:
            yield f"the replica {replica.address} is left out: {'it is down' if replica.down else 'its priority is 0'}"
