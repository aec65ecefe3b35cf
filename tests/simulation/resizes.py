"""The number of workers is changed by reloads, up and down, while clients work and everything else happens.

Some clients can't go to other workers, like those with TLS: the worker that they are at lingers for as long.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.network import End
    from tests.simulation.world import World

SHARE = 0.4
STAYING = 0.25
NUMBERS = (2, 3, 4)


class Resizes:
    """Reloads with other numbers.

    @ivar active: whether it does in this world.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._chance = Random(f"{world.seed} resizes")
        drawn = world.workers is not None and self._chance.random() < SHARE
        self.active = drawn and not world.upgrades
        self._some_stay = drawn

    def perhaps_stays(self, end: End) -> None:
        """A client has connected at this end: its connection may be one that can't be passed on."""
        end.keys_stay = self._some_stay and self._chance.random() < STAYING

    async def run(self) -> None:
        """Change the number some times."""
        world = self._world
        for _ in range(self._chance.choice((1, 2, 3))):
            await world.sleep(self._chance.random() * 0.8)
            if world.ending:
                return
            if not world.switching:
                number = self._chance.choice([each for each in NUMBERS if each != world.number_of_workers])
                world.number_of_workers = number
                world.write_config(world.current)
                await world.operator.order(f"reload to {number} workers", world.operations.reload())

    def check(self) -> None:
        """In the end there are as many as the settings in force say."""
        world, workers = self._world, self._world.workers
        if not self.active or workers is None or world.faulty or workers.disturbed:
            return
        serving = [member for member in workers.members if member.serving]
        settings = world.control.configuration.settings
        if len(serving) != settings.worker_count:
            world.fail(f"{len(serving)} workers serve: there are to be {settings.worker_count}")
