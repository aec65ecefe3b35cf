"""Somebody asks for CLIENT LIST: it is whole, with each client once, or an error."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation.caching import Party
from tests.simulation.clients import GONE, Gone, ReplyError

if TYPE_CHECKING:
    from tests.simulation.workers import Workers
    from tests.simulation.world import World

SHARE = 0.4


class Listing:
    """The client that asks.

    @ivar active: whether it does in this world. @ivar parties: its connection.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self._chance = Random(f"{world.seed} listing")
        self.active = world.workers is not None and self._chance.random() < SHARE
        self._party = Party(world, "listing", stateful=False)
        self.parties = {self._party.name: self._party}

    async def run(self) -> None:
        """Ask now and then, and connect again when the connection is lost."""
        for _ in range(self._chance.randint(5, 30)):
            if self.world.ending:
                break
            try:
                if self._party.wire is None or self._party.wire.gone:
                    await self._party.connect()
                await self._ask()
            except Gone:
                self._party.waits = ""
            await self.world.sleep(self._chance.choice((0, 0.01, 0.1, 0.5)))
        self._party.leave()

    async def _ask(self) -> None:
        workers = self.world.workers
        assert workers is not None
        before = _there(workers)
        self._party.waits = "CLIENT LIST"
        reply: Any = await self._party.wire.send(["CLIENT", "LIST"])[0]
        self._party.waits = ""
        if reply is GONE:
            raise Gone
        if isinstance(reply, ReplyError):
            if not (workers.hit or self.world.faulty):
                self.world.fail(f"CLIENT LIST was answered with {reply}")
            return
        listed = Counter(int(line.split()[0][3:]) for line in bytes(reply).splitlines())
        if twice := [number for number, count in listed.items() if count > 1]:
            self.world.fail(f"CLIENT LIST names {twice} twice")
        if missing := (before & _there(workers)) - listed.keys():
            self.world.fail(f"CLIENT LIST does not name {missing}, which have been there all the time")


def _there(workers: Workers) -> set[int]:
    """The ids of all clients of workers in use."""
    planes = [each.program.plane for each in workers.in_use]
    return {client.id for plane in planes for client in plane.registry if not client.closed}
