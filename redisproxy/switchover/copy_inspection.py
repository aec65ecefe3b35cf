"""The step preflight of a switchover that copies: looks at both servers, and at what there is to copy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from redisproxy.servers.copy_marker import Marked, marked
from redisproxy.servers.state import ServerState
from redisproxy.servers.writers import FenceKind, fence_kind
from redisproxy.switchover import preflight
from redisproxy.switchover.comparison import compare
from redisproxy.switchover.failure import refuse
from redisproxy.switchover.reached import reach

if TYPE_CHECKING:
    from redisproxy.config import SwitchoverSettings
    from redisproxy.copying.interface import Copying, Survey
    from redisproxy.dataplane.interface import ClientOrders
    from redisproxy.switchover.both_servers import BothServers
    from redisproxy.switchover.carry import Carry
    from redisproxy.switchover.report import SwitchoverReport

_BY_NOTIFICATIONS = (
    "the old server refuses CLIENT TRACKING, so that keyspace notifications tell what changes there: they tell nothing"
    " of FLUSHALL, FLUSHDB and VADD in scripts and by writers that bypass the proxy"
)


@dataclass(frozen=True)
class CopyFindings:
    """The state of both servers before the switchover, and what follows from it.

    @ivar fence: how writers can be kept from the old server. @ivar replace: the new server has keys that go.
    @ivar carry: what is taken along beside the data.
    """

    old: ServerState
    new: ServerState
    fence: FenceKind
    replace: bool
    carry: Carry


class CopyInspection:
    """Looks at both servers, and changes nothing that lasts."""

    def __init__(
        self, servers: BothServers, copying: Copying, settings: SwitchoverSettings, report: SwitchoverReport
    ) -> None:
        self._servers = servers
        self._copying = copying
        self._settings = settings
        self._report = report

    async def inspect(self, clients: ClientOrders) -> CopyFindings:
        """Find out whether the switchover may begin.

        @param clients: the clients that would move.
        @raise SwitchoverFailed: it may not; the text has every reason.
        @raise UplinkError: a server can't be reached.
        """
        at_old, at_new, old, new = await reach(self._servers)
        unfinished = await marked(at_new, self._servers.old.address) is not Marked.NOT
        fence = await fence_kind(at_old, old)
        may_replace = unfinished or self._settings.replace_data
        dbs = await clients.highest_db()
        faults = preflight.copy_faults(old, new, dbs, may_replace, self._servers.left)
        refuse([*faults, *self._fence_faults(fence)])
        carry = await compare(self._servers, old, new, self._settings, self._report)
        self._tell(old, new, fence)
        return CopyFindings(old, new, fence, replace=bool(new.keys), carry=carry)

    async def survey(self) -> Survey:
        """Find out what there is to copy, and how that would go.

        @raise SwitchoverFailed: it can't be done.
        @raise UplinkError: a server can't be reached.
        """
        survey = await self._copying.survey()
        self._report.fields["copy"] = asdict(survey)
        refuse(survey.faults)
        self._report.warn(f"the new server can't hold all of a {each}" for each in survey.not_whole)
        if survey.feed == "notifications":
            self._report.warn([_BY_NOTIFICATIONS])
        return survey

    def _fence_faults(self, fence: FenceKind) -> Iterator[str]:
        if fence is FenceKind.NONE and not self._settings.writers_behind_proxy:
            yield (
                "the old server allows neither CONFIG SET nor CLIENT PAUSE, so that nothing keeps writers that bypass"
                " the proxy from writing there during the cut, which would be lost: let the proxy's user run CLIENT"
                " PAUSE; or, if every writer is behind this proxy, set switchover.writers_behind_proxy to true"
            )

    def _tell(self, old: ServerState, new: ServerState, fence: FenceKind) -> None:
        self._report.fields["versions"] = [old.product, new.product]
        self._report.fields["fence"] = fence.value
        self._report.warn(preflight.copy_warnings(old, new))
        if fence is not FenceKind.SETTING:
            self._report.warn(
                [
                    "the old server takes writes again after the switchover: what writers that bypass the proxy write"
                    " there then is lost"
                ]
            )
