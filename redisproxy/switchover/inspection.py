"""The step preflight: asks both servers for their state, and refuses before anything has been changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from redisproxy.net.errors import UplinkError
from redisproxy.servers.control_connection import ServerSaidNo
from redisproxy.servers.state import ServerState
from redisproxy.switchover import preflight
from redisproxy.switchover.comparison import compare
from redisproxy.switchover.failure import SwitchoverFailed, refuse
from redisproxy.switchover.hooks import FollowingByHook
from redisproxy.switchover.reached import reach
from redisproxy.switchover.replica_setup import ReplicaSetup

if TYPE_CHECKING:
    from redisproxy.config import SwitchoverSettings
    from redisproxy.dataplane.interface import ClientOrders
    from redisproxy.switchover.both_servers import BothServers
    from redisproxy.switchover.carry import Carry
    from redisproxy.switchover.hooks import Hooks
    from redisproxy.switchover.replica_setup import Following
    from redisproxy.switchover.report import SwitchoverReport


@dataclass(frozen=True)
class Findings:
    """The state of both servers before the switchover, and what follows from it.

    @ivar source: where the new server replicates from.
    @ivar setup: how the new server is made a replica.
    @ivar carry: what is taken along beside the data.
    """

    old: ServerState
    new: ServerState
    source: preflight.Source
    setup: Following
    carry: Carry

    @property
    def follows(self) -> bool:
        """Whether the new server was a replica of the old one already."""
        return preflight.follows(self.new, self.old, self.source)

    def errors_since(self, new: ServerState) -> int:
        """How many commands of the old server the new one has answered with errors: it lacks what they wrote."""
        return max(0, new.errors_in_replication - self.new.errors_in_replication)

    def require_no_errors(self, new: ServerState) -> None:
        """
        @raise SwitchoverFailed: the new server lacks something that it was sent.
        """
        if count := self.errors_since(new):
            raise SwitchoverFailed(
                f"the new server has answered {count} commands of the old one with errors, and lacks what they wrote;"
                " its log has them: perhaps it does not know them"
            )


class Inspection:
    """Looks at both servers, and changes nothing."""

    def __init__(
        self, servers: BothServers, settings: SwitchoverSettings, hooks: Hooks, report: SwitchoverReport
    ) -> None:
        self._servers = servers
        self._hooks = hooks
        self._settings = settings
        self._report = report

    async def inspect(self, clients: ClientOrders) -> Findings:
        """Find out whether the switchover may begin.

        @param clients: the clients that would move.
        @raise SwitchoverFailed: it may not; the text has every reason.
        @raise UplinkError: a server can't be reached.
        """
        _, _, old, new = await reach(self._servers)
        source = self._source(old)
        setup = await self._setup(source)
        needed = preflight.Needed(await clients.highest_db(), self._settings.replace_data, not self._hooks.replicates)
        refuse(preflight.faults(old, new, source, needed))
        carry = await compare(self._servers, old, new, self._settings, self._report)
        findings = Findings(old, new, source, setup, carry)
        refuse(await self._missing_rights(findings))
        self._report.warn(preflight.warnings(old, new))
        self._report.fields["versions"] = [old.product, new.product]
        return findings

    async def _setup(self, source: preflight.Source) -> Following:
        if self._hooks.replicates:
            return FollowingByHook(self._hooks, source)
        login = self._settings.replication_credentials or await self._servers.login_at(self._servers.old)
        return ReplicaSetup(source, *login, self._servers.new_had)

    async def inspect_new_server(self) -> None:
        """In external mode: see that the new server answers, report its role, and compare the two."""
        at_new = await self._servers.reach_new()
        new = await at_new.state()
        self._report.fields["role_of_new"] = new.role
        try:
            at_old = await self._servers.reach_old()
            await compare(self._servers, await at_old.state(), new, self._settings, self._report, functions=True)
        except UplinkError as error:
            self._report.warn([f"what the data does not carry was not compared: {error}"])

    def _source(self, old: ServerState) -> preflight.Source:
        given, over_tls = self._settings.replicate_from_address, self._settings.replicate_over_tls
        try:
            return preflight.source_of(old, self._servers.old, self._servers.new.address, given, over_tls)
        except ValueError as error:
            raise SwitchoverFailed(str(error), refused=True) from None

    async def _missing_rights(self, findings: Findings) -> list[str]:
        """Try what will be needed in ways that change nothing."""
        same = ("CONFIG", "SET", "min-replicas-to-write", findings.old.min_replicas)
        (reply,) = await self._servers.at_old.ask_all(same)
        missing = [f"the fence would not work: {reply}"] if isinstance(reply, ServerSaidNo) else []
        if not findings.follows:
            missing += await findings.setup.faults(self._servers.open_old, self._servers.at_new)
        return missing
