"""Somebody asks for CLIENT LIST: it is whole, with each client once, or an error."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation.caching import Party
from tests.simulation.clients import GONE, Gone, ReplyError

if TYPE_CHECKING:
    from redisproxy.client.client import Client
    from tests.simulation.workers import Workers
    from tests.simulation.world import World

SHARE = 0.4
Connected = dict[int, "Client"]
"""Clients by their ids. Who is handed over is another object then, also one that has come back meanwhile."""


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
        before, whole = _there(workers), self._whole
        self._party.waits = "CLIENT LIST"
        reply: Any = await self._party.wire.send(["CLIENT", "LIST"])[0]
        self._party.waits = ""
        if reply is GONE:
            raise Gone
        if isinstance(reply, ReplyError):
            if not (workers.disturbed or self.world.faulty):
                self.world.fail(f"CLIENT LIST was answered with {reply}")
            return
        if not (whole and self._whole):
            return  # in an upgrade each of the two processes tells of its own clients
        self._check(Counter(int(line.split()[0][3:]) for line in bytes(reply).splitlines()), before, _there(workers))

    @property
    def _whole(self) -> bool:
        return not self.world.upgrades or (self.world.workers is not None and self.world.workers.knows)

    def _check(self, listed: Counter[int], before: Connected, after: Connected) -> None:
        """Those that stay where they are have to be named once."""
        still = {number for number, client in before.items() if after.get(number) is client}
        if twice := [number for number in still if listed[number] > 1]:
            self.world.fail(f"CLIENT LIST names {twice} twice")
        if missing := still - listed.keys():
            self.world.fail(f"CLIENT LIST does not name {missing}, which have been there all the time")


def _there(workers: Workers) -> Connected:
    """All clients of workers in use, but those that are on their way from one to another."""
    found: dict[int, list[Client]] = {}
    for process in workers.in_use:
        for client in process.program.plane.registry:
            found.setdefault(client.id, []).append(client)
    return {number: clients[0] for number, clients in found.items() if len(clients) == 1 and not clients[0].closed}
