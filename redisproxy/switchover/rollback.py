"""The way back: undoes what a switchover has changed, so that the clients go on at the old server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime

from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.net.deferreds import shielded
from redisproxy.switchover.attempts import LATE_RETRY_DELAYS_S, RETRY_DELAYS_S, Undo, attempt
from redisproxy.switchover.inspection import Findings

if TYPE_CHECKING:
    from redisproxy.dataplane.interface import MoveOrders
    from redisproxy.servers.redis_server import RedisServer
    from redisproxy.switchover.both_servers import BothServers
    from redisproxy.switchover.control_plane import ControlPlane
    from redisproxy.switchover.copy_inspection import CopyFindings
    from redisproxy.switchover.copy_route import CopyRoute
    from redisproxy.switchover.effects import Effects
    from redisproxy.switchover.hooks import Hooks
    from redisproxy.switchover.pause import Pause
    from redisproxy.switchover.report import SwitchoverReport


class Rollback:
    """The rollback of one switchover.

    @param findings: the state of both servers before the switchover; without it nothing was changed there.
    @param by_copy: what else is to be undone after a copy.
    """

    def __init__(
        self,
        servers: BothServers,
        move: MoveOrders,
        control_plane: ControlPlane,
        findings: Findings | CopyFindings | None,
        effects: Effects,
        hooks: Hooks,
        pause: Pause,
        report: SwitchoverReport,
        clock: IReactorTime,
        by_copy: CopyRoute | None = None,
    ) -> None:
        self._servers = servers
        self._move = move
        self._control_plane = control_plane
        self._findings = findings
        self._by_copy = by_copy
        self._effects = effects
        self._hooks = hooks
        self._pause = pause
        self._report = report
        self._clock = clock

    async def roll_back(self) -> bool:
        """Make the old server take writes again, then let the clients go on there, then tidy up the new server.

        False when nothing was undone, because the clients may go to the new server yet.
        """
        effects = self._effects
        if (effects.promoted or effects.copied or effects.swap_ordered) and not await self._clients_stay():
            self._report.not_undone(
                "the data plane was lost when the new server was promoted, or may have been. It asks both servers and"
                " goes where the data is; nothing was undone, and the old server may still refuse writes. See where the"
                " clients are, and have the configuration name that server"
            )
            return False
        await self._undo()
        return True

    async def _clients_stay(self) -> bool:
        """See to it that the data plane does not go to the new server any more; False when that is not certain.

        One that has lost its control plane goes where a promoted server and a fenced one show it.
        """
        try:
            await shielded(self._abandon())
        except DataPlaneLost:
            return False
        return True

    async def _abandon(self) -> None:
        await self._move.abandon()

    async def _undo(self) -> None:
        effects = self._effects
        lifted_by = self._pause.fence_lifted_by
        unreached = effects.fenced and not await self._attempt(self._unfence, RETRY_DELAYS_S, lifted_by)
        lifted = unreached and await self._lifted_by_others()
        await self._let_go_on()
        if unreached and not await self._attempt(self._unfence, LATE_RETRY_DELAYS_S) and not lifted:
            self._report.not_undone("the old server may still refuse writes: run redisproxy unfence")
        watchers = self._servers.watchers
        if watchers.forgotten and not await self._attempt(watchers.watch_old, (*RETRY_DELAYS_S, *LATE_RETRY_DELAYS_S)):
            self._report.not_undone(f"not all sentinels watch the old server again; at each: {watchers.old_by_hand}")
        if effects.hooked:
            await self._undo_by_hook()
        if self._by_copy is not None:
            await self._undo_copy(self._by_copy)
        elif not self._hooks.replicates:
            await self._undo_following()
        if effects.carried and not await self._attempt(self._undo_carry, RETRY_DELAYS_S):
            self._report.not_undone("the new server may still have settings and ACL users of the old one")

    async def _lifted_by_others(self) -> bool:
        """Other proxies of the fleet may reach the old server; their clients would go on behind the fence."""
        if self._fenced_before or not await shielded(self._control_plane.others_lift_fence()):
            return False
        self._report.warn([f"this proxy does not reach {self._servers.old.address}: another one has lifted the fence"])
        return True

    @property
    def _fenced_before(self) -> bool:
        return self._findings is not None and self._findings.old.fenced

    async def _undo_following(self) -> None:
        if self._effects.promoted:
            if not await self._attempt(self._demote, RETRY_DELAYS_S):
                self._report.not_undone("the new server may have been promoted: make it a replica before you retry")
        elif self._effects.following and not await self._attempt(self._stop_following, RETRY_DELAYS_S):
            self._report.not_undone("the new server may still try to follow the old one")

    async def _undo_by_hook(self) -> None:
        try:
            told = await shielded(self._hooks.undo())
        except CancelledError:
            told = "the undo hook was killed, because the proxy ends: the new server may still follow the old one"
        if told:
            self._report.not_undone(told)

    async def _undo_copy(self, route: CopyRoute) -> None:
        await shielded(route.end())
        for undo, text in route.undoing():
            if not await self._attempt(undo, RETRY_DELAYS_S):
                self._report.not_undone(text)
        if text := route.left_behind():
            self._report.not_undone(text)

    async def _let_go_on(self) -> None:
        try:
            await shielded(self._pause.end())
        except DataPlaneLost as error:
            self._report.not_undone(f"{error}: it lets the clients go on by itself when the old server takes writes")

    async def _attempt(self, undo: Undo, delays_s: tuple[float, ...], until: float | None = None) -> bool:
        return await attempt(undo, delays_s, self._clock, until)

    async def _unfence(self, attempt: int) -> None:
        held = self._pause.budget_ends is not None
        before = self._findings.old if self._findings is not None else None
        if held and not attempt and before is not None and before.can_config and not before.fenced:
            # Asking first would be too late at a server that hangs: what clients send comes next when it goes on.
            await self._servers.at_old.take_back_fence(before)
            return
        old = await self._servers.reach_old() if attempt or not held else self._servers.at_old
        state = await old.state()
        if state.fenced and not self._fenced_before:
            await old.unfence(state)
        else:
            await old.end_pause()

    async def _demote(self, attempt: int) -> None:
        assert isinstance(self._findings, Findings)
        source = self._findings.source
        await (await self._new_server(attempt)).follow(source.host, source.port)

    async def _stop_following(self, attempt: int) -> None:
        """Let a new server go that never got in sync, or lacks something; another one stays, for the next try."""
        assert isinstance(self._findings, Findings)
        new = await self._new_server(attempt)
        state = await new.replica()
        if state.link_up and not self._findings.errors_since(state):
            return
        if state.role == "slave":
            await new.ask("REPLICAOF", "NO", "ONE")
        self._report.warn(await self._findings.setup.restore(new))

    async def _undo_carry(self, attempt: int) -> None:
        found = self._findings if self._by_copy is None else self._by_copy.findings
        assert found is not None
        await found.carry.undo(await self._new_server(attempt))

    async def _new_server(self, attempt: int) -> RedisServer:
        return await self._servers.reach_new() if attempt else self._servers.at_new
