"""A writer that bypasses the proxy: it gets an error from the fence, and no acknowledged write is lost."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation.clients import GONE, ReplyError, Wire
from tests.simulation.history import Op

if TYPE_CHECKING:
    from tests.simulation.world import World

MAY_FAIL = ("NOREPLICAS", "READONLY")


class Bypass:
    """Connects to the server that is in use now, and writes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.name = "bypass"
        self.chance = Random(f"{world.seed} bypass")

    async def run(self, count: int) -> None:
        """Connect this many times, and write a little each time."""
        for at in range(count):
            await self.world.sleep(self.chance.choice((0, 0.005, 0.05)))
            if self.world.ending:
                return
            await self._write(at)

    async def _write(self, at: int) -> None:
        world, server = self.world, self.world.current
        near, far = world.net.pair("bypass", "server")
        wire = Wire(world, self.name, near)
        wire.injected = True
        world.wires[wire] = None
        server.accept(far)
        if server.password:
            await wire.send(["AUTH", server.password])[0]
        for _ in range(self.chance.randint(1, 3)):
            await self._push(wire, at)
        near.loseConnection()

    async def _push(self, wire: Wire, at: int) -> None:
        world, value = self.world, f"bypass-{at}-{self.chance.random()}".encode()
        op = world.history.add(Op("push", (0, b"0:lst-0"), self.name, world.clock.seconds(), value))
        (answer,) = wire.send(["RPUSH", op.place[1], value])
        reply: Any = await answer
        if isinstance(reply, ReplyError):
            if not str(reply).startswith(MAY_FAIL):
                world.fail(f"{self.name}: RPUSH was answered with {reply}")
            op.refused()
        elif reply is not GONE:
            op.answered(world.clock.seconds(), value)
