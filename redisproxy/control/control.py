"""Pause, unpause, reload and switchover: what changes where commands go, each with one owner and one answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from redisproxy.control.interfaces import Answer, Plan, Proxy, Rejected, Relocation
from redisproxy.control.operations import BadRequest, DeadlineExceeded, OperationError, WrongState
from redisproxy.forwarding.gate import FAILOVER, OPERATOR, RELOAD, SWITCHOVER, GateReopened
from redisproxy.net.errors import UplinkError
from redisproxy.switchover import Switchover, SwitchoverFailed

if TYPE_CHECKING:
    from redisproxy.config import TcpAddress

MAX_NAMED = 100
KEPT_REPORTS = 10
SHUTTING_DOWN = "the proxy is shutting down"


def _ignore(failure: Failure, *kinds: type[Exception]) -> None:
    failure.trap(*kinds)


def _took_place(switchover: Answer | Failure) -> bool:
    return not isinstance(switchover, Failure) and switchover["report"]["result"] == "done"


@dataclass
class LastReload:
    """What the pages tell of the last reload."""

    result: Answer = field(default_factory=dict)


class Control:
    """The operations of one running proxy.

    @ivar switching: the switchover that runs. @ivar reports: of the last ones, the newest first.

    At most one reload or switchover runs at a time. The operator's pause and a reload's are two reasons to close the
    gate: a reload while paused takes the new configuration and leaves the proxy paused.
    """

    log = Logger(namespace="redisproxy.control")

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._waiting: list[Deferred[Answer]] = []
        self._running: Deferred[Any] | None = None
        self._running_name = ""
        self._relocation: Relocation | None = None
        self._again = self._stopping = False
        self.switching: Switchover | None = None
        self.reports: list[Answer] = []
        self.last = LastReload()

    # -- pause and unpause

    def pause(self) -> Answer:
        """Close the gate and return at once; what runs longer than the drain deadline is dropped later."""
        self._close(OPERATOR)
        draining = ensureDeferred(self.drain(self._proxy.drain_limit_s))
        draining.addErrback(_ignore, GateReopened, CancelledError)
        draining.addErrback(self._log_failure)
        return self._state()

    def pause_and_wait(self, timeout_ms: int | None) -> Deferred[Answer]:
        """Close the gate; fire when every client is suspended, after dropping what runs longer than the limit."""
        limit_s = self._proxy.drain_limit_s if timeout_ms is None else timeout_ms / 1000
        self._close(OPERATOR)
        answer: Deferred[Answer] = Deferred(lambda _: draining.cancel())
        draining = ensureDeferred(self.drain(limit_s))
        self._waiting.append(answer)
        draining.addCallbacks(
            lambda dropped: self._settle(answer, {**self._state(), "dropped": dropped}),
            lambda failure: self._settle(answer, self._explain(failure)),
        )
        return answer

    def unpause(self) -> Answer:
        """Take the operator's pause back. Unpausing when running is no error."""
        waiting, self._waiting = self._waiting, []
        self._reopen(OPERATOR)
        for answer in (each for each in waiting if not each.called):
            answer.errback(Failure(WrongState("unpaused before every client was suspended")))
        return self._state()

    def _settle(self, answer: Deferred[Answer], result: Answer | Failure) -> None:
        if answer in self._waiting:
            self._waiting.remove(answer)
        if not answer.called:
            answer.callback(result)

    def _explain(self, failure: Failure) -> Failure:
        if failure.check(GateReopened):
            return Failure(WrongState("unpaused before every client was suspended"))
        return failure

    def _state(self) -> Answer:
        gate, busy = self._proxy.gate, self._proxy.busy
        advice = {"advice": f"the uplink: {busy}"} if busy else {}
        return {"state": gate.state.value, "in_flight": gate.in_flight, **advice}

    def _close(self, reason: str) -> None:
        gate = self._proxy.gate
        was_open = gate.open
        gate.close(reason)
        if was_open:
            self.log.info("paused ({reason}), {count} commands in flight", reason=reason, count=gate.in_flight)
            self._proxy.metrics.operations.pauses_total += 1
            self._proxy.gate_closed()

    def _reopen(self, reason: str) -> None:
        gate = self._proxy.gate
        since = gate.closed_at
        held = gate.held
        gate.reopen(reason)
        self._proxy.gate_opened()
        if gate.open and since is not None:
            paused_s = self._proxy.clock.seconds() - since
            self._proxy.metrics.observe_pause(paused_s)
            self.log.info(
                "running again after {ms} ms, {held} clients had waited",
                ms=round(paused_s * 1000, 1),
                held=held,
            )

    async def drain(self, limit_s: float) -> list[Answer]:
        """Wait until nothing is in flight, at most `limit_s` seconds; name what was dropped then.

        @raise GateReopened: the gate was opened first.
        """
        dropped: list[Answer] = []
        deadline = self._proxy.clock.callLater(limit_s, lambda: dropped.extend(self._drop()))
        try:
            await self._proxy.gate.drained()
        finally:
            if deadline.active():
                deadline.cancel()
        return dropped[:MAX_NAMED]

    def _drop(self) -> list[Answer]:
        dropped = self._proxy.drop_in_flight()
        if dropped:
            self.log.warn("the drain deadline has passed: {count} clients dropped", count=len(dropped))
            if self._proxy.busy:
                self.log.warn("the uplink: {busy}", busy=self._proxy.busy)
        return dropped

    # -- reload and switchover, one at a time

    def reload(self) -> Deferred[Answer]:
        """Take the configuration as it is in the file now; see L{Plan}. A second one at the same time is refused."""
        return self._alone(RELOAD, self._reload)

    def switchover(self, dry_run: bool = False) -> Deferred[Answer]:
        """Move the data and the clients to the uplink that the configuration file names now."""
        return self._alone(SWITCHOVER, lambda: self._switchover(dry_run))

    def go_on(self) -> Answer:
        """In external mode: the new server is promoted.

        @raise WrongState: no switchover waits for that.
        """
        if self._relocation is None or not self._relocation.go_on():
            raise WrongState("no switchover waits for your word")
        return {"state": "going on"}

    def _alone(self, name: str, work: Callable[[], Coroutine[Any, Any, Answer]]) -> Deferred[Answer]:
        if self._stopping:
            return fail(WrongState(SHUTTING_DOWN))
        if self._running is not None:
            return fail(WrongState(f"a {self._running_name} is running already"))
        answer: Deferred[Answer] = Deferred()
        self._running_name = name
        self._running = running = ensureDeferred(work())
        running.addErrback(self._rejected)
        running.addBoth(self._ended, answer)
        return answer

    def reload_on_signal(self) -> None:
        """Reload for a SIGHUP; one that comes while another one or a switchover runs is carried out after it.

        Not after a switchover that did not take place: the file names the new server then, and nobody is to go there.
        """
        if self._running is not None:
            self._again = True
            return
        self.reload().addErrback(lambda _: None)  # nobody waits for the answer, and the log has it

    def _ended(self, result: Answer | Failure, answer: Deferred[Answer]) -> None:
        self._running = None
        again, self._again = self._again, False
        if again and self._running_name == SWITCHOVER and not _took_place(result):
            self.log.warn("the switchover did not take place: the SIGHUP that came meanwhile is not carried out")
            again = False
        answer.callback(result)
        if again:
            self.reload_on_signal()

    async def stop(self) -> None:
        """End what is running, and begin nothing any more: a switchover is rolled back."""
        self._again, self._stopping = False, True
        if self._running is not None:
            running, done = self._running, Deferred[None]()
            running.addBoth(lambda _: done.callback(None))
            running.cancel()
            await done

    def follow(self, address: TcpAddress) -> Deferred[Answer]:
        """Go to the uplink's new primary, as a reload goes to a new uplink. Refused while another one runs."""
        return self._alone(FAILOVER, lambda: self._follow(address))

    async def _follow(self, address: TcpAddress) -> Answer:
        try:
            answer = await self._take(await self._proxy.prepare_move(address), FAILOVER)
        except (Rejected, UplinkError) as error:
            raise WrongState(str(error)) from error
        self.log.info("the uplink is {address} now", address=address)
        return answer

    async def _reload(self) -> Answer:
        answer = await self._take(await self._proxy.prepare_reload(), RELOAD)
        self._proxy.metrics.operations.reloads_total += 1
        self.log.info(
            "configuration reloaded, changed: {changed}; clients were held for {ms} ms",
            changed=", ".join(answer["changed"]) or "nothing",
            ms=answer["pause_ms"],
        )
        self._note({"ok": True, **answer})
        return answer

    async def _take(self, plan: Plan, reason: str) -> Answer:
        """Pause, drain, swap, unpause."""
        proxy = self._proxy
        started, before = proxy.clock.seconds(), self._state()
        self._close(reason)
        swapped = False
        try:
            dropped = await self.drain(proxy.drain_limit_s)
            await plan.prepare()
            plan.swap()
            swapped = True
        finally:
            if not swapped:
                plan.abandon()
            self._reopen(reason)
        pause_ms = round((proxy.clock.seconds() - started) * 1000, 1)
        return {**before, **self._state(), "changed": list(plan.changed), "pause_ms": pause_ms, "dropped": dropped}

    async def _switchover(self, dry_run: bool) -> Answer:
        relocation = self._relocation = self._proxy.prepare_switchover(self)
        switchover = self.switching = Switchover(relocation, relocation.settings, dry_run)
        try:
            await switchover.run()
        except SwitchoverFailed as error:
            kind = BadRequest if error.refused else DeadlineExceeded if error.late else WrongState
            raise kind(switchover.report["error"], report=switchover.report) from error
        except CancelledError as error:
            raise WrongState(f"{SHUTTING_DOWN}: {switchover.report['error']}", report=switchover.report) from error
        finally:
            if switchover.report["result"] != "done":
                relocation.abandon()
            self._relocation = self.switching = None
            self._keep(switchover.report)
        return {**self._state(), "report": switchover.report}

    def _keep(self, report: Answer) -> None:
        self.reports.insert(0, {**report, "at": self._proxy.clock.seconds()})
        del self.reports[KEPT_REPORTS:]
        metrics = self._proxy.metrics
        metrics.operations.switchovers_total += report["result"] == "done"
        metrics.operations.switchovers_failed_total += report["result"] in ("rolled_back", "refused")
        self.log.info("switchover {result}: {report}", result=report["result"], report=json.dumps(report, default=str))

    def close_gate(self, reason: str) -> None:
        """Part of C{relocation.Gatekeeper}."""
        self._close(reason)

    def open_gate(self, reason: str) -> None:
        """Part of C{relocation.Gatekeeper}."""
        self._reopen(reason)

    def _rejected(self, failure: Failure) -> Failure:
        if failure.check(CancelledError):
            return Failure(WrongState(SHUTTING_DOWN))  # nothing else cancels it
        if failure.check(OperationError):
            return failure
        self._proxy.metrics.operations.reloads_rejected_total += 1
        if not failure.check(Rejected, UplinkError):
            self.log.failure("the {name} failed", failure=failure, name=self._running_name)
            self._note({"ok": False, "error": "internal error, see the log"})
            return failure
        text = failure.getErrorMessage()
        self.log.error("configuration rejected, nothing has changed: {text}", text=text)
        self._note({"ok": False, "error": text})
        return Failure(BadRequest(text))

    def _note(self, result: Answer) -> None:
        self.last.result = {**result, "at": self._proxy.clock.seconds()}

    def _log_failure(self, failure: Failure) -> None:
        self.log.failure("draining failed", failure=failure)
