"""The operator, who pauses, reloads and switches over while clients work; and fate, which breaks things meanwhile."""

from __future__ import annotations

import json
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.python.failure import Failure

from redisproxy.control.errors import OperationError, Unavailable, WrongState
from redisproxy.remote.order_server import SILENCE_S
from redisproxy.switchover.pause import HOLD_S
from tests.simulation.aborts import Aborts
from tests.simulation.copying import marked
from tests.simulation.requests import Killed, NobodyThere
from tests.simulation.returns import Returns

if TYPE_CHECKING:
    from tests.simulation.redis import Server
    from tests.simulation.world import World


class Operator:
    """Gives one order after the other, sometimes two at a time.

    @ivar running: answers that are still to come. @ivar done: switchovers that were carried out.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = Random(f"{world.seed} operator")
        self.running: dict[Deferred[Any], str] = {}
        self.done = 0
        self.aborts = Aborts(world)
        self.returns = Returns(world)
        self._paused_last = 0.0
        self._released = 0
        self.answers: list[str] = []

    async def run(self, operations: int) -> None:
        """Give this many orders."""
        works = [
            self.pause,
            self.pause_and_wait,
            self.reload,
            self.hang_up,
            self.switchover,
            self.switchover,
            self.switchover,
        ]
        for _ in range(operations):
            await self.world.sleep(self.chance.random() * 0.4)
            if self.world.ending:
                return
            work = self.chance.choice(works)()
            if self.chance.random() < 0.8:
                await work
            else:
                ensureDeferred(work).addErrback(self.world.crashed)

    # -- what an operator does

    async def pause(self) -> None:
        """Pause, wait a moment, unpause."""
        self._note("pause")
        self._paused_last = inf
        await self._given(self.world.operations.pause())
        await self.world.sleep(self.chance.choice((0, 0.01, 0.2, 1)))
        self._note("unpause")
        await self.unpause()
        self._paused_last = self.world.clock.seconds()

    async def pause_and_wait(self) -> None:
        """Order pause-and-wait, and wait for the answer or give up."""
        self._paused_last = inf
        released = self._released
        pausing = self.world.operations.pause_and_wait(self.chance.choice((None, 3000)))
        pausing.addCallback(self._paused, released)
        await self._patience(self._watch("pause-and-wait", pausing))
        await self.world.sleep(self.chance.choice((0, 0.1, 0.1, 1.5)))
        self._note("unpause")
        await self.unpause()
        self._paused_last = self.world.clock.seconds()

    def _paused(self, answer: Any, released: int) -> Any:
        """Everybody is held, if nobody has let them go meanwhile."""
        self.world.placement.paused = released == self._released and not self.world.stopped
        return answer

    def left_alone(self) -> None:
        """The process in charge is gone: a pause that was told stays, and nobody takes a way back."""
        self.returns.forget_all()

    async def unpause(self) -> None:
        """Take the pause back, again and again until the data plane has heard of it."""
        self._released += 1
        self.world.placement.paused = False
        while not await self._given(self.world.operations.unpause()) and not self.world.stopped:
            await self.world.sleep(0.05)

    async def _given(self, answer: Deferred[Any]) -> bool:
        """Whether the data plane has answered."""
        try:
            await answer
        except Unavailable as error:
            if not (self.world.faulty or self.world.stopped or self.world.workers_are_hit):
                self.world.fail(f"an order got lost although nothing had failed: {error}")
            return False
        except WrongState:
            if not self.world.upgrades:
                raise
            return False
        return True

    async def reload(self) -> None:
        """Reload, with the same server under this or another name."""
        if self._unsure:
            return
        if not self.world.switching:
            self.world.write_config(self.world.current, alias=self.chance.random() < 0.5)
        await self._patience(self._watch("reload", self.world.operations.reload()))

    @property
    def _unsure(self) -> bool:
        """The file names the server of a switchover of which a new process does not know."""
        return self.world.loses_control and self.world.switching and self.world.workers is not None

    async def order(self, name: str, answer: Deferred[Any]) -> None:
        """Wait for the answer to another order."""
        self._watch(name, answer)
        while answer in self.running:
            await self.world.sleep(0.01)

    async def hang_up(self) -> None:
        """SIGHUP."""
        if self._unsure:
            return
        self._note("SIGHUP")
        if not self.world.switching:
            self.world.write_config(self.world.current)
        self.world.control.reload.on_signal()

    async def switchover(self) -> None:
        """Move to another server."""
        world = self.world
        if world.switching:
            return
        if (before := self.returns.target()) is not None:
            await self.go_back(before)
            return
        target = self.chance.choice([server for server in world.servers if server is not world.current])
        dry = self.chance.random() < 0.1
        world.switching = True
        world.write_config(target)
        world.settle_servers()
        answer = self._watch(f"switchover to {target.name}", world.operations.switchover(dry), target)
        self.aborts.perhaps(answer, self.running)
        await self._patience(answer)

    async def go_back(self, target: Server) -> None:
        """Move to the server before; the file names the one in use."""
        self.world.switching = True
        answer = self.world.operations.switchover(self.chance.random() < 0.1, back=True)
        self._watch(f"switchover back to {target.name}", answer, target)
        self.aborts.perhaps(answer, self.running)
        await self._patience(answer)

    async def _patience(self, answer: Deferred[Any]) -> None:
        """Wait for the answer, or only for a while and then perhaps take the request back."""
        if self.chance.random() < 0.7:
            while answer in self.running:
                await self.world.sleep(0.01)
            return
        await self.world.sleep(self.chance.random() * 0.1)
        if answer in self.running and self.chance.random() < 0.5 and "switchover" not in self.running[answer]:
            self._note(f"{self.running[answer]} cancelled")
            answer.cancel()

    def _watch(self, name: str, answer: Deferred[Any], target: Server | None = None) -> Deferred[Any]:
        self._note(name)
        self.running[answer] = name
        began = self.world.clock.seconds()

        def over(result: Any) -> None:
            del self.running[answer]
            if isinstance(result, Failure):
                result.trap(OperationError, CancelledError)
                text = f"{result.value.__class__.__name__}: {result.getErrorMessage()}"
            else:
                text = json.dumps(result.get("report", result), default=str)
            self._note(f"{name}: {text[:400]}")
            self.answers.append(f"{name}: {text}")
            if target is not None:
                self._switched(target, result, began)

        answer.addBoth(over).addErrback(self.world.crashed)
        return answer

    def _within_budget(self, report: dict[str, Any], began: float) -> None:
        """No switchover holds clients for longer than it may; an operator may have paused, too.

        A rollback may take a moment longer to lift the fence, because clients would get errors.
        """
        budget_ms: float = self.world.control.configuration.settings.switchover.pause_budget_ms
        budget_ms += 0 if report.get("result") == "done" else HOLD_S * 1000
        if (self.world.boundary is not None and self.world.faulty) or self.world.workers_are_hit:
            budget_ms += SILENCE_S * 1000  # orders that stall for longer have lost their connection
        if self._paused_last < began and report.get("pause_ms", 0) > budget_ms + 1:
            self.world.fail(f"a switchover has held clients for {report['pause_ms']} ms, {budget_ms} were allowed")

    def _switched(self, target: Server, result: Any, began: float) -> None:
        world, report = self.world, _report_of(result)
        self._within_budget(report, began)
        if report.get("result") == "unknown" or _broken_off(result):
            finding = ensureDeferred(self._find_out(target)).addErrback(world.crashed)
            self.running[finding] = "finding out where the clients are"
            finding.addBoth(lambda _: self.running.pop(finding))
            return
        world.switching = False
        done = not isinstance(result, Failure) and result["report"]["result"] == "done"
        if done:
            self.done += 1
            world.current = target
        if world.in_use is not world.current:
            world.fail(f"the report of a switchover says {report.get('result')}: clients are on {world.in_use.name}")
        if done and world.control.configuration.left is not None:
            self.returns.arrived(self.running)
            return
        world.write_config(world.current)
        self.returns.forget()

    async def _find_out(self, target: Server) -> None:
        """The report does not know where the clients are. The pages show it when there is a connection again."""
        world = self.world
        assert world.loses_control, "a report does not know, with the data plane in the same process"
        while not (world.knows or world.stopped):
            await world.sleep(0.05)
        world.current = world.in_use
        self._note(f"the clients are on {world.current.name}")
        await self._repair(world.current, target)
        world.switching = False
        world.write_config(world.current)

    async def _repair(self, old: Server, target: Server) -> None:
        """Do what the log says when the clients are on a server that is still fenced."""
        if old is target or old.config["min-replicas-to-write"] == "0":
            return
        promoted = target.repl.primary is None and target.repl.replid2 == old.repl.replid
        if not (promoted or marked(target)):
            self._note(f"unfence {old.name}")
            old.config["min-replicas-to-write"] = "0"
            return
        self.world.write_config(target)
        while not (self.world.knows and self.world.in_use is target) and not self.world.stopped:
            self._note(f"reload to {target.name}, which was promoted")
            await self.world.operations.reload().addErrback(lambda failure: failure.trap(OperationError))
            await self.world.sleep(0.1)
        self.world.current = self.world.in_use

    def _note(self, text: str) -> None:
        self.world.note("operator", text)


def _broken_off(result: Any) -> bool:
    """Whether the process that was asked has ended before it has answered."""
    return isinstance(result, Failure) and bool(result.check(Killed)) and not result.check(NobodyThere)


def _report_of(result: Any) -> dict[str, Any]:
    details = getattr(result.value, "details", {}) if isinstance(result, Failure) else result
    found: dict[str, Any] = details.get("report") or {}
    return found


class Fate:
    """Breaks things, for a while each."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = Random(f"{world.seed} fate")

    async def run(self, count: int) -> None:
        """Break this many things."""
        works = [
            self.reset_uplink,
            self.reset_client,
            self.hang,
            self.crash,
            self.stall,
            self.spike,
            self.cut_off,
            self.break_link,
        ]
        if self.world.boundary is not None:
            works.append(self.stall_orders)
        for _ in range(count):
            await self.world.sleep(self.chance.random() * 0.6)
            if self.world.ending:
                return
            self.chance.choice(works)()

    def _server(self) -> Server:
        return self.chance.choice([self.world.current, *self.world.servers])

    def _for(self) -> float:
        return self.chance.choice((0.01, 0.1, 0.5, 2.5))

    def reset_uplink(self) -> None:
        ends = self.world.net.connections("uplink")
        if ends:
            end = self.chance.choice(ends)
            self._note(f"reset of {end.getHost().port}")
            end.reset()
            end.peer.reset()

    def reset_client(self) -> None:
        ends = self.world.net.connections("client")
        if ends:
            end = self.chance.choice(ends)
            self._note(f"reset of a client, {end.getHost().port}")
            end.protocol.injected = True
            end.reset()
            end.peer.reset()

    def hang(self) -> None:
        server, seconds = self._server(), self._for()
        if not server.down and not server.hung:
            self._note(f"{server.name} hangs for {seconds} s")
            server.hang(seconds)

    def crash(self) -> None:
        server, seconds = self._server(), self._for()
        if not server.down and not server.hung:
            self._note(f"{server.name} crashes, for {seconds} s")
            server.crash(seconds)

    def stall(self) -> None:
        ends = [*self.world.net.connections("uplink"), *self.world.net.connections("server")]
        if ends:
            end, seconds = self.chance.choice(ends), self._for()
            self._note(f"{end.name} {end.getHost().port} stalls for {seconds} s")
            end.stalled_until = self.world.clock.seconds() + seconds

    def stall_orders(self) -> None:
        seconds = self.chance.choice((0.01, 0.1, 0.5, 2.5, 7.0))
        assert self.world.boundary is not None
        self._note(f"orders to the data plane stall for {seconds} s")
        self.world.boundary.stall(seconds)

    def spike(self) -> None:
        now, before = self.world.net.now, self.world.net.now.latency
        now.latency = self.chance.choice((0.01, 0.1))
        self._note(f"latency {now.latency} s")
        self.world.clock.at(self._for(), setattr, now, "latency", min(before, 0.001))

    def cut_off(self) -> None:
        server, seconds = self._server(), self._for()
        self._note(f"{server.name} can't be reached for {seconds} s")
        server.unreachable = True
        self.world.clock.at(seconds, setattr, server, "unreachable", False)

    def break_link(self) -> None:
        server, seconds = self._server(), self._for()
        self._note(f"replicas of {server.name} get nothing for {seconds} s")
        server.link_broken = True
        self.world.clock.at(seconds, setattr, server, "link_broken", False)

    def _note(self, text: str) -> None:
        self.world.note("fate", text)
