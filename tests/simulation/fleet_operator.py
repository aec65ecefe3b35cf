"""The operator of a simulated fleet: asks any of the proxies, sometimes two at once, and tidies up what is unknown."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.python.failure import Failure

from redisproxy.control.errors import OperationError
from redisproxy.remote.interrupted import MARGIN_S

if TYPE_CHECKING:
    from tests.simulation.fleet import FleetWorld
    from tests.simulation.fleet_proxy import FleetProxy
    from tests.simulation.redis import Server

LATE_S = 3.0
TRIES = 40
BY_ITSELF_S = 20.0
DEAD: dict[str, Any] = {"report": {"result": "the leader has died"}}


class FleetOperator:
    """Gives one order after the other.

    @ivar running: answers that are still to come. @ivar done: switchovers that were carried out.
    """

    def __init__(self, world: FleetWorld) -> None:
        self.world = world
        self.chance = Random(f"{world.seed} fleet operator")
        self.running: dict[Any, str] = {}
        self.done = 0
        self._switching = False
        self._before: Server | None = None

    async def run(self, operations: int) -> None:
        """Give this many orders."""
        works = [self.pause, self.reload, self.rivals, self.switchover, self.switchover, self.switchover]
        for _ in range(operations):
            await self.world.sleep(self.chance.random() * 0.4)
            if self.world.ending:
                return
            await self.chance.choice(works)()

    def _proxy(self) -> FleetProxy | None:
        return self.chance.choice(self.world.living) if self.world.living else None

    # -- what an operator does

    async def pause(self) -> None:
        """Pause all, wait a moment, and let all go on."""
        if (proxy := self._proxy()) is not None:
            await self._asked(proxy, "pause-and-wait", lambda each: each.pause_and_wait(3000))
            await self.world.sleep(self.chance.choice((0, 0.01, 0.2)))
        await self.unpause()

    async def unpause(self) -> None:
        """Let all go on, again and again until all have been told."""
        while not self.world.violation:
            proxy = self._proxy()
            answer = None if proxy is None else await self._asked(proxy, "unpause", lambda each: each.unpause())
            if isinstance(answer, dict) and answer is not DEAD:
                return
            await self.world.sleep(0.1)

    async def reload(self) -> None:
        """Reload all, with the same server."""
        if not self._switching and (proxy := self._proxy()) is not None:
            await self._asked(proxy, "reload", lambda each: each.reload())

    async def rivals(self) -> None:
        """Two proxies are asked at once."""
        if len(self.world.living) < 2:
            return
        one, other = self.chance.sample(self.world.living, 2)
        if self._switching:
            return
        second = self.chance.choice([lambda each: each.reload(), lambda each: each.switchover(True)])
        works = [ensureDeferred(self._asked(one, "reload", lambda each: each.reload()))]
        works.append(ensureDeferred(self._asked(other, "a rival", second)))
        for work in works:
            await work.addErrback(self.world.crashed)

    async def switchover(self, leader: FleetProxy | None = None) -> None:
        """Move to another server, or back."""
        world = self.world
        if (leader := leader or self._proxy()) is None or self._switching:
            return
        self._switching = True
        try:
            back = self._before is not None and self.chance.random() < 0.3
            target = self._before if back else self._another()
            assert target is not None
            if not back:
                world.write_configs(target)
                self._settle_servers()
            world.target = target
            dry = self.chance.random() < 0.1
            name = f"switchover {'back ' if back else ''}to {target.name}"
            self._perhaps_abort()
            result = await self._asked(leader, name, lambda each: each.switchover(dry, back=back))
            await self._switched(target, result)
        finally:
            self._switching = False

    def _another(self) -> Server:
        world = self.world
        return self.chance.choice([server for server in world.servers if server is not world.current])

    def _settle_servers(self) -> None:
        """Perhaps empty and unfence servers that nobody uses, as an operator may before moving there again."""
        for server in self.world.servers:
            free = server is not self.world.current and server.repl.primary is None and not server.connections
            if free and self.chance.random() < 0.5:
                server.dbs = [{} for _ in server.dbs]
                server.config["min-replicas-to-write"] = "0"

    def _perhaps_abort(self) -> None:
        if self.chance.random() < 0.15:
            self.world.clock.at(self.chance.random() * 0.3, self._abort)

    def _abort(self) -> None:
        proxy = self._proxy()
        if proxy is not None and not self.world.ending:
            aborting = self._asked(proxy, "switchover-abort", lambda each: each.switchover_abort())
            ensureDeferred(aborting).addErrback(self.world.crashed)

    async def _asked(self, proxy: FleetProxy, name: str, ask: Any) -> Any:
        """Ask a proxy, and wait for its answer, or until it has died; the error when it refuses."""
        process, results = proxy.process, list[Any]()
        self._note(f"{name}, at {proxy}")
        answer: Deferred[Any] = ask(proxy.service.fleet.operations)
        answer.addBoth(results.append)
        token = object()
        self.running[token] = f"{name} at {proxy}"
        while not results and process.alive and not self.world.violation:
            await self.world.sleep(0.01)
        del self.running[token]
        result = results[0] if results else DEAD
        if isinstance(result, Failure):
            result.trap(OperationError, CancelledError)
            self._note(f"{name}: {type(result.value).__name__}: {result.getErrorMessage()[:600]}")
            return result.value
        self._note(f"{name}: {json.dumps(result, default=str)[:400]}")
        return result

    # -- what came of it

    async def _switched(self, target: Server, result: Any) -> None:
        world, found = self.world, result_of(result)
        if found == "done":
            self.done += 1
            self._arrived(target)
        elif found in ("unknown", DEAD["report"]["result"]):
            budget_s = world.settings["switchover"]["pause_budget_ms"] / 1000
            wait_s = budget_s + MARGIN_S + LATE_S + world.lease_ms / 1000
            await world.sleep(wait_s + max(0.0, world.fate.quiet_at - world.clock.seconds()))
            self.find_out()
        else:
            world.target = None
        self._mend()

    def _arrived(self, target: Server) -> None:
        self._before, self.world.current = self.world.current, target
        self.world.target = None

    def find_out(self) -> None:
        """Look at the servers where clients belong, and lift a fence that nobody else will lift."""
        world, target = self.world, self.world.target
        if target is None:
            return
        old = world.current
        fenced = old.config["min-replicas-to-write"] != "0"
        follows = old.repl.primary is target or target.repl.replid2 == old.repl.replid
        promoted = target.repl.primary is None and follows
        self._note(f"{old.name} fenced: {fenced}, {target.name} promoted: {promoted}")
        if promoted and fenced:
            self._arrived(target)
            return
        world.target = None
        if fenced:
            self._note(f"unfence {old.name}")
            old.config["min-replicas-to-write"] = "0"

    def _mend(self) -> None:
        """The files name the server in use."""
        self.world.write_configs(self.world.current)

    async def put_together(self) -> None:
        """Have those that were restarted go where the others are; the others find it by themselves."""
        world = self.world
        self._mend()
        await self.unpause()
        waited = 0.0
        while any(each.server is not world.current for each in world.proxies if not each.restarted):
            if waited > BY_ITSELF_S or world.violation:
                lost = [f"{each} on {each.server.name}" for each in world.proxies if each.server is not world.current]
                world.fail(f"{', '.join(lost)}: not on {world.current.name}, although it could have found it")
            await world.sleep(0.5)
            waited += 0.5
        for proxy in world.proxies:
            for _ in range(TRIES if proxy.server is not world.current else 0):
                if isinstance(await self._asked(proxy, "reload here", lambda each: each.alone.reload()), dict):
                    break
                await world.sleep(0.5)
        for _ in range(TRIES):
            if isinstance(await self._asked(world.proxies[0], "reload", lambda each: each.reload()), dict):
                return
            await world.sleep(0.5)
        world.fail("the fleet can't be reloaded although everything works again")

    def _note(self, text: str) -> None:
        self.world.note("operator", text)


def result_of(result: Any) -> str:
    """That in the report of an answer; empty when there is none."""
    details = getattr(result, "details", {}) if isinstance(result, Exception) else result
    report: dict[str, Any] = details.get("report") or {}
    found: str = report.get("result", "")
    return found
