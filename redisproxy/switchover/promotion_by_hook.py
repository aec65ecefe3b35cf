"""The step promote, carried out by a program; whether it has happened is seen at the new server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from redisproxy.net.errors import UplinkError
from redisproxy.switchover.failure import SwitchoverFailed

if TYPE_CHECKING:
    from redisproxy.servers.state import ServerState
    from redisproxy.switchover.both_servers import BothServers
    from redisproxy.switchover.hooks import Hooks

FIRST_POLL_S, LAST_POLL_S = 0.01, 0.5


class PromotionByHook:
    """The promotion of one switchover.

    @param history: the id of the history that the new server has to continue; empty when it does not tell that.
    """

    def __init__(self, servers: BothServers, hooks: Hooks, history: str, clock: IReactorTime) -> None:
        self._servers = servers
        self._hooks = hooks
        self._history = history
        self._clock = clock

    async def carry_out(self) -> None:
        """Have it promoted, and wait until it takes writes; whoever waits has the time limit.

        @raise SwitchoverFailed: the program has failed, or what it has promoted may lack data.
        """
        has_everything = await self._hooks.promote()
        if not self._history and not has_everything:
            raise SwitchoverFailed(
                "the new server does not tell its offset, and the promote hook has not printed"
                ' {"caught_up": true}: nobody knows whether it has everything'
            )
        state = await self._when_primary()
        if self._history and state.former_id != self._history and not has_everything:
            raise SwitchoverFailed(
                "the server that the promote hook has promoted does not continue the data of the old one: it is not the"
                " one that has followed, or it was restarted. If it has everything, the hook has to print"
                ' {"caught_up": true}'
            )

    async def _when_primary(self) -> ServerState:
        """Wait until it is a primary that takes writes; it may close connections on the way."""
        delay_s = FIRST_POLL_S
        while True:
            try:
                new = await self._servers.reach_new()
                state = await new.replication()
                if state.role == "master":
                    await new.probe_write()
                    return state
            except UplinkError:
                pass  # it is restarted, or is a replica still
            await deferLater(self._clock, delay_s)
            delay_s = min(delay_s * 2, LAST_POLL_S)
