"""A client with a cache, which CLIENT TRACKING empties: what it answers from there has to be as good as a GET.

As with Redis itself, a value that is in the cache after a PING of the tracked connection has been answered was there at
the server when that PING was carried out. So each answer goes into the history as a read that began with the PING.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation.clients import FAULT_ERRORS, GONE, Gone, ReplyError, Wire
from tests.simulation.history import Op

if TYPE_CHECKING:
    from tests.simulation.world import World

SHARE = 0.25
FEW_PINNED = 10
AGAIN_S = 0.1
KEYS = (b"0:reg-0", b"0:reg-1")
ASKED = object()
"""Stands in the cache while the value is on its way; if an invalidation removes it, the value is not kept."""


class Party:
    """One connection of the caching client, with what the world needs to judge how it ends.

    @ivar stateful: it may be disconnected when something fails, also while it waits for nothing.
    """

    def __init__(self, world: World, name: str, stateful: bool) -> None:
        self.world = world
        self.name = name
        self.stateful = stateful
        self.leaving = False
        self.waits = ""
        self.wire: Wire = None  # type: ignore[assignment]

    async def connect(self) -> None:
        """Connect, in RESP3."""
        self.leaving = False
        self.wire = self.world.connect(self.name)
        secret = ["AUTH", "default", self.world.password] if self.world.password else []
        while isinstance(await self.ask("HELLO", 3, *secret), ReplyError):
            await self.world.sleep(AGAIN_S)

    async def ask(self, *command: bytes | str | int) -> Any:
        """Send a command and return the reply, an error too where something fails.

        @raise Gone: the connection was closed.
        """
        self.waits = str(command[0])
        reply = await self.wire.send(list(command))[0]
        self.waits = ""
        if reply is GONE:
            raise Gone
        if isinstance(reply, ReplyError) and not (self.world.faulty and str(reply).startswith(FAULT_ERRORS)):
            self.world.fail(f"{self.name}: {command[0]!r} was answered with {reply}")
        return reply

    def leave(self) -> None:
        """Disconnect."""
        self.leaving = True
        if self.wire is not None and not self.wire.gone:
            self.wire.end.abortConnection()


class Caching:
    """The caching client; it takes part in some of the worlds.

    @ivar active: whether it does in this one. @ivar parties: who is tracked, and who reads; with BCAST they are two.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = Random(f"{world.seed} caching")
        few = world.max_pinned < FEW_PINNED  # it would keep one from all others
        self.active = self.chance.random() < SHARE and not few
        self._options = self.chance.choice(([], ["OPTIN"], ["BCAST", "PREFIX", "0:"], ["OPTOUT"]))
        broadcast = "BCAST" in self._options
        self._works = [self._read] * 18 + [self._wait, self._transaction]
        self._tracked = Party(world, "caching", broadcast)
        self._reader = Party(world, "reader", False) if broadcast else self._tracked
        self.parties = {each.name: each for each in (self._tracked, self._reader)}
        self._cache: dict[bytes, Any] = {}

    async def run(self) -> None:
        """Read now and then for as long as the clients may work, connecting again when the connection is lost."""
        left = self.chance.randint(50, 200)
        while left > 0 and not self.world.ending:
            try:
                await self._begin()
                while left > 0 and not self.world.ending:
                    left -= 1
                    await self.chance.choice(self._works)(self.chance.choice(KEYS))
                    await self.world.sleep(self.chance.choice((0, 0.001, 0.02, 0.1)))
            except Gone:
                await self.world.sleep(self.chance.random() * 0.1)
            for party in self.parties.values():
                party.leave()
            while any(not party.wire.gone for party in self.parties.values() if party.wire is not None):
                await self.world.sleep(0.01)

    async def _begin(self) -> None:
        self._cache.clear()
        for party in self.parties.values():
            await party.connect()
        self._tracked.wire.on_push = self._invalidated
        if isinstance(await self._tracked.ask("CLIENT", "TRACKING", "ON", *self._options), ReplyError):
            raise Gone

    def _invalidated(self, push: list[Any]) -> None:
        kind, keys = push
        if kind != b"invalidate":
            self.world.fail(f"{self._tracked.name}: an unknown message: {push}")
        for key in list(self._cache) if keys is None else keys:
            self._cache.pop(key, None)

    async def _read(self, key: bytes) -> None:
        world = self.world
        op = Op("get", (0, key), self._tracked.name, world.clock.seconds())
        if isinstance(await self._tracked.ask("PING"), ReplyError):
            return
        value = self._cache.get(key, ASKED)
        if value is ASKED:
            value = await self._fetch(key)
        if not isinstance(value, ReplyError):
            world.history.add(op).answered(world.clock.seconds(), value)

    async def _fetch(self, key: bytes) -> Any:
        self._cache[key] = ASKED
        if "OPTIN" in self._options:
            await self._reader.ask("CLIENT", "CACHING", "YES")
            await self.world.sleep(self.chance.choice((0, 0.05, 0.3)))
        reply = await self._reader.ask("GET", key)
        value = b"" if reply is None else reply
        if self._cache.get(key) is ASKED:
            self._cache[key] = value
            if isinstance(value, ReplyError):
                del self._cache[key]
        return value

    async def _wait(self, key: bytes) -> None:
        """Block on the tracked connection."""
        reply = await self._tracked.ask("BLPOP", "0:nothing", "0.2")
        if reply is not None and not isinstance(reply, ReplyError):
            self.world.fail(f"{self._tracked.name}: BLPOP was answered with {reply}")

    async def _transaction(self, key: bytes) -> None:
        """Read in a transaction of the tracked connection."""
        party, before = self._tracked, self._tracked.stateful
        op = Op("get", (0, key), party.name, self.world.clock.seconds())
        party.stateful = True
        if not isinstance(await party.ask("MULTI"), ReplyError):
            await party.ask("GET", key)
            await self.world.sleep(self.chance.choice((0, 0.03)))
            result = await party.ask("EXEC")
            if isinstance(result, list):
                self.world.history.add(op).answered(self.world.clock.seconds(), result[0] or b"")
            elif not isinstance(result, ReplyError):
                self.world.fail(f"{party.name}: EXEC was answered with {result}")
        party.stateful = before
