"""A client that runs scripts, one of which does not end, and another one that kills it.

The server's model holds everybody else back while a script runs, instead of telling them C{BUSY}, so that what the
other clients may see is the same in all worlds.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from tests.simulation.caching import Party
from tests.simulation.clients import FAULT_ERRORS, GONE, Command, Gone, ReplyError

if TYPE_CHECKING:
    from tests.simulation.world import World

SHARE = 0.25
ENDLESS = "while true do end"
KILL_LIMIT_S = 3.0
"""A script that is being killed may run on for so long at most, whatever the operator does."""

QUIET = 100
"""So many attempts in a row that find nothing to kill mean that no script runs."""


class Scripting:
    """The client with scripts and its killer; they take part in some of the worlds.

    @ivar active: whether they do in this one. @ivar parties: who runs scripts, and who kills them.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._chance = Random(f"{world.seed} scripts")
        self.active = self._chance.random() < SHARE
        self._runs = Party(world, "runs", stateful=True)
        self._kills = Party(world, "kills", stateful=True)
        self._goes_on = False
        self.parties = {each.name: each for each in (self._runs, self._kills)} if self.active else {}

    async def run(self) -> None:
        """Run some scripts, and connect again whenever a connection is lost."""
        for _ in range(self._chance.randint(1, 8)):
            if self.world.ending:
                break
            try:
                await self._connect()
                await self._chance.choice((self._short, self._whole, self._endless))()
            except Gone:
                self._leave()
                await self._end_what_goes_on()
            await self.world.sleep(self._chance.choice((0, 0.02, 0.3)))
        self._leave()

    async def _end_what_goes_on(self) -> None:
        """Kill a script that has outlived its client or is still on its way: nobody else would ever end it."""
        quiet = 0
        while self._goes_on and quiet < QUIET and not self.world.ending:
            try:
                await self._connect()
                quiet = 0 if await self._kill() else quiet + 1
            except Gone:
                self._leave()
            await self.world.sleep(0.02)
        self._goes_on = False

    async def _connect(self) -> None:
        for party in self.parties.values():
            if party.wire is None or party.wire.gone:
                await party.connect()

    def _leave(self) -> None:
        for party in self.parties.values():
            party.leave()

    async def _short(self) -> None:
        """Send scripts between plain commands, and check that replies come in order."""
        names = [f"{self._chance.random()}".encode() for _ in range(5)]
        commands: list[Command] = [
            ["EVAL", "echo", 0, name] if at % 2 else ["ECHO", name] for at, name in enumerate(names)
        ]
        for name, answer in zip(names, self._runs.wire.send(*commands), strict=True):
            self._same(await answer, name)

    async def _whole(self) -> None:
        """Send a transaction in one piece, with a script in it."""
        answers = self._runs.wire.send(["MULTI"], ["EVAL", "echo", 0, "x"], ["EXEC"])
        for expected, answer in zip((b"OK", b"QUEUED", [b"x"]), answers, strict=True):
            self._same(await answer, expected)

    def _same(self, reply: object, expected: object) -> None:
        if reply is GONE:
            raise Gone
        if isinstance(reply, ReplyError) and self.world.faulty and str(reply).startswith(FAULT_ERRORS):
            return
        if reply != expected:
            self.world.fail(f"runs: a script was answered with {reply!r}, not {expected!r}")

    async def _endless(self) -> None:
        """Run a script that does not end, and kill it until it has: at the first try it may not have begun."""
        ended: list[object] = []
        self._goes_on = True
        (answer,) = self._runs.wire.send(["EVAL", ENDLESS, 0])
        answer.addCallback(ended.append)
        await self.world.sleep(self._chance.choice((0, 0.001, 0.01, 0.1)))
        killed_at = None
        while not ended:
            now = self.world.clock.seconds()
            if await self._kill() and killed_at is None:
                killed_at = now
            if not self._may_be_slow and killed_at is not None and now - killed_at > KILL_LIMIT_S:
                self.world.fail("a script runs on although it was killed")
            await self.world.sleep(0.02)
        if ended[0] is GONE:
            raise Gone
        self._goes_on = False
        if not isinstance(ended[0], ReplyError):
            self.world.fail(f"a script that does not end has ended with {ended[0]!r}")

    @property
    def _may_be_slow(self) -> bool:
        return self.world.faulty or self.world.workers_are_hit

    async def _kill(self) -> bool:
        """Try to kill a script; whether one was killed. It takes no more than a few round trips, whatever goes on."""
        began = self.world.clock.seconds()
        answer: Deferred[object] = self._kills.wire.send(["SCRIPT", "KILL"])[0]
        reply = await answer
        if reply is GONE:
            raise Gone
        took = self.world.clock.seconds() - began
        if not self._may_be_slow and took > KILL_LIMIT_S:
            self.world.fail(f"SCRIPT KILL took {took:.1f} s")
        if isinstance(reply, ReplyError):
            allowed = ("NOTBUSY", *(FAULT_ERRORS if self.world.faulty else ()))
            if not str(reply).startswith(allowed):
                self.world.fail(f"SCRIPT KILL was answered with {reply}")
            return False
        return True
