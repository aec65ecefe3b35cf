"""Everything that the admin site may call: what operators have the proxy do, and what the pages show."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from twisted.internet.defer import fail
from twisted.python.failure import Failure

from redisproxy.control.clients import Clients
from redisproxy.control.errors import Unavailable, WrongState
from redisproxy.dataplane.interface import DataPlaneLost

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from redisproxy.control.answers import Answer
    from redisproxy.control.info import Info
    from redisproxy.control.pause import Pause
    from redisproxy.control.planned_failover import PlannedFailover
    from redisproxy.control.records import Records
    from redisproxy.control.reload import Reload
    from redisproxy.control.switchover import SwitchoverOperation
    from redisproxy.control.upgrade import Upgrade
    from redisproxy.dataplane.interface import ClientQuery, DataPlane


class Operations:
    """Implements C{admin.Operations}: one call, one answer, which may fail with L{OperationError}."""

    def __init__(
        self,
        dataplane: DataPlane,
        pause: Pause,
        reload: Reload,
        switchover: SwitchoverOperation,
        failover: PlannedFailover,
        upgrade: Upgrade,
        info: Info,
        records: Records,
    ) -> None:
        self._dataplane = dataplane
        self._clients = Clients(dataplane.clients)
        self._pause = pause
        self._reload = reload
        self._switchover = switchover
        self._failover = failover
        self._upgrade = upgrade
        self._info = info
        self._records = records

    def pause(self) -> Deferred[Answer]:
        """Close the gate."""
        if self._upgrade.step:
            return _while_upgrading()
        return self._pause.pause().addErrback(_unavailable)

    def pause_and_wait(self, timeout_ms: int | None) -> Deferred[Answer]:
        """Close the gate and tell when every client is suspended."""
        if self._upgrade.step:
            return _while_upgrading()
        return self._pause.pause_and_wait(timeout_ms).addErrback(_unavailable)

    def unpause(self) -> Deferred[Answer]:
        """Open the gate."""
        if self._upgrade.step:
            return _while_upgrading()
        return self._pause.unpause().addErrback(_unavailable)

    def reload(self) -> Deferred[Answer]:
        """Take the configuration file as it is now."""
        return self._reload.reload()

    def switchover(self, dry_run: bool, back: bool = False) -> Deferred[Answer]:
        """Move the data and the clients to the uplink that the configuration file names now.

        @param back: to the server that was in use before the last switchover.
        """
        return self._switchover.switch_over(dry_run, back)

    def switchover_go_on(self) -> Answer:
        """In external mode: the new server is promoted."""
        return self._switchover.go_on()

    def forget_way_back(self) -> Deferred[Answer]:
        """Have the server that was in use before follow no more; it stays fenced."""
        return self._switchover.forget_way_back()

    def switchover_abort(self) -> Deferred[Answer]:
        """Stop the switchover that runs, or the failover, before the new server is promoted."""
        return self._switchover.abort() if self._failover.running is None else self._failover.abort()

    def failover(self, dry_run: bool) -> Deferred[Answer]:
        """Have the sentinels make a replica the primary, and take the clients there with nothing lost."""
        return self._failover.fail_over(dry_run)

    def upgrade(self) -> Deferred[Answer]:
        """Have the program on disk take this process's place."""
        return self._upgrade.upgrade()

    def terminate_raw_connections(self) -> Deferred[Answer]:
        """Close every raw connection."""
        terminated = self._dataplane.clients.terminate_raw().addCallback(lambda count: {"terminated": count})
        return terminated.addErrback(_unavailable)

    def clients(self, which: ClientQuery) -> Deferred[Answer]:
        """The clients that `which` describes, and how many there are."""
        return self._clients.table(which).addErrback(_unavailable)

    def kill_clients(self, ids: frozenset[int]) -> Deferred[Answer]:
        """Disconnect these."""
        return self._clients.kill(ids).addErrback(_unavailable)

    def info(self) -> Deferred[Answer]:
        """All that the pages show; no secrets."""
        return self._info.describe().addErrback(_unavailable)

    def metrics(self) -> Deferred[bytes]:
        """The text exposition of all figures."""
        return self._info.expose().addErrback(_unavailable)

    def figures(self, after: int = 0) -> Deferred[Answer]:
        """Rates and latencies of each of the last seconds. @param after: only those that have ended later."""
        return self._records.figures(after).addErrback(_unavailable)

    def slow_commands(self) -> Deferred[Answer]:
        """The commands that took long."""
        return self._records.slow_commands().addErrback(_unavailable)

    def hot_keys(self) -> Deferred[Answer]:
        """The keys that are used most, and the largest replies."""
        return self._records.hot_keys().addErrback(_unavailable)

    def ready(self) -> Deferred[tuple[bool, str]]:
        """Whether new clients may be sent here, and why not."""
        return self._info.ready().addErrback(_not_ready)


def _while_upgrading() -> Deferred[Answer]:
    return fail(WrongState("an upgrade is running; ask again when it is over"))


def _unavailable(failure: Failure) -> NoReturn:
    failure.trap(DataPlaneLost)
    raise Unavailable(failure.getErrorMessage())


def _not_ready(failure: Failure) -> tuple[bool, str]:
    failure.trap(DataPlaneLost)
    return False, failure.getErrorMessage()
