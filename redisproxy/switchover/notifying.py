"""Has the old server notify of all changes while it is copied, where that is how it tells of them; then as before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redisproxy.copying.feeds import SETTING
from redisproxy.net.errors import UplinkError

if TYPE_CHECKING:
    from redisproxy.switchover.both_servers import BothServers
    from redisproxy.switchover.report import SwitchoverReport

TRIES = 2


class Notifying:
    """The setting of one copy."""

    def __init__(self, servers: BothServers, report: SwitchoverReport) -> None:
        self._servers = servers
        self._report = report
        self._before: str | None = None

    async def begin(self, before: str, needed: str) -> None:
        """Set it.

        @raise UplinkError: the old server does not answer, or refuses it.
        """
        self._before = before
        await self._servers.at_old.set_config(SETTING, needed)

    async def end(self) -> None:
        """Set it back; what fails becomes a warning. Twice is the same as once."""
        before, self._before = self._before, None
        if before is None:
            return
        for attempt in range(TRIES):
            try:
                old = await self._servers.reach_old() if attempt else self._servers.at_old
                await old.set_config(SETTING, before)
                return
            except UplinkError as error:
                why = str(error)
        self._report.warn([f'{SETTING} of the old server could not be set back to "{before}": {why}'])
