"""A client that loads scripts and counts on them later, with EVALSHA, at whatever worker it is by then.

A script that was loaded is known wherever clients are moved, also when the worker that has seen it was killed. Only a
server that has crashed has forgotten it.
"""

from __future__ import annotations

from hashlib import sha1
from random import Random
from typing import TYPE_CHECKING

from tests.simulation.caching import Party
from tests.simulation.clients import FAULT_ERRORS, GONE, Gone, ReplyError

if TYPE_CHECKING:
    from tests.simulation.world import World

SHARE = 0.3
LEAVES = 0.3
KILLED = 0.3


class Loading:
    """The client.

    @ivar active: whether it takes part in this world. @ivar parties: its connection.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._chance = Random(f"{world.seed} loading")
        lasting = world.workers is not None and not world.workers.loses_control
        self.active = lasting and self._chance.random() < SHARE
        self._party = Party(world, "loading", stateful=True)
        self.parties = {self._party.name: self._party}
        self._loaded: dict[str, tuple[int, int]] = {}

    @property
    def _excuses(self) -> tuple[int, int]:
        """What may have cost scripts: crashes of servers, and faults of links that no Unix socket has."""
        assert self.world.workers is not None
        return sum(server.crashes for server in self.world.servers), self.world.workers.link_faults

    async def run(self) -> None:
        """Load scripts and use them, and connect again now and then, so that another worker is asked."""
        for at in range(self._chance.randint(10, 40)):
            if self.world.ending:
                break
            try:
                if self._party.wire is None or self._party.wire.gone:
                    await self._party.connect()
                await (self._load(f"return {at}") if self._chance.random() < 0.4 else self._use())
                self._go_elsewhere()
            except Gone:
                self._party.waits = ""
            await self.world.sleep(self._chance.choice((0, 0.01, 0.1, 0.5)))
        self._party.leave()

    def _go_elsewhere(self) -> None:
        """Leave the worker of the moment now and then, which sometimes is killed then."""
        workers, process = self.world.workers, self._party.wire.end.peer.process
        if self._chance.random() < LEAVES and not self._party.wire.gone:
            self._party.leave()
            if workers is not None and workers.hit and process is not None and self._chance.random() < KILLED:
                workers.kill(process)

    async def _load(self, body: str) -> None:
        before = self._excuses
        if not isinstance(await self._ask("SCRIPT", "LOAD", body), ReplyError):
            self._loaded[sha1(body.encode()).hexdigest()] = before

    async def _use(self) -> None:
        known = [digest for digest, excuses in self._loaded.items() if excuses == self._excuses]
        if not known:
            return
        digest = self._chance.choice(known)
        reply = await self._ask("EVALSHA", digest, 0)
        if str(reply).startswith("NOSCRIPT") and self._loaded[digest] == self._excuses:
            self.world.fail(f"a script that was loaded is forgotten: {reply}")

    async def _ask(self, *command: str | int) -> object:
        self._party.waits = str(command[0])
        reply = await self._party.wire.send(list(command))[0]
        self._party.waits = ""
        if reply is GONE:
            raise Gone
        allowed = ("NOSCRIPT", *(FAULT_ERRORS if self.world.faulty else ()))
        if isinstance(reply, ReplyError) and not str(reply).startswith(allowed):
            self.world.fail(f"{command[0]} was answered with {reply}")
        return reply
