"""What happens to a simulated fleet: at any time, and before, during or after any order of an operation."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionLost

from tests.simulation.moments import OF_A_MOVE, Moments
from tests.simulation.network import End

if TYPE_CHECKING:
    from redisproxy.remote.order_server import OrderServer
    from tests.simulation.fleet import FleetWorld
    from tests.simulation.fleet_proxy import FleetProxy

LASTS_S = (0.05, 0.3, 1.0, 3.0, 8.0)
BACK_S = (0.1, 1.0, 5.0)
ORDERS = (*OF_A_MOVE, "Claim", "PrepareMove", "PrepareMove", "Dismiss", "WithdrawMove", "Pause", "Introduce")
BEHIND_THE_FENCE = ("ProveWatches",)
NEVER = 1000.0
NOTICED_AFTER_S = (0.0, 0.001, 0.02, 0.4, NEVER)


class FleetFate:
    """Kills, stops, cuts off.

    @ivar orders: those at which things happen. @ivar quiet_at: from when on nothing is late any more because of it.
    @ivar ways_alone: nothing has failed so far but the ways from proxies to servers.
    """

    orders: tuple[str, ...] = ORDERS

    def __init__(self, world: FleetWorld) -> None:
        self.world = world
        self.chance = Random(f"{world.seed} fleet fate")
        self.quiet_at = 0.0
        self.ways_alone = True
        counts = (0, 1, 1, 2, 3) if world.faulty else (0,)
        self._parts_from_all = Random(f"{world.seed} all servers").random() < 0.3
        orders = self.orders + 12 * self._parts_from_all * BEHIND_THE_FENCE
        self._moments = Moments(self.chance, counts, self._happen, lambda: world.ending, orders)
        self._at: dict[OrderServer, FleetProxy] = {}

    def watched(self, proxy: FleetProxy, server: OrderServer) -> OrderServer:
        """Have things happen at orders that arrive here."""
        self._at[server] = proxy
        self._moments.watch(server)
        return server

    def _happen(self, server: OrderServer, when: str) -> bool:
        proxy = self._at[server]
        leader = next((each for each in self.world.living if each.service.fleet._assembly.leading), None)
        victim = leader if leader is not None and self.chance.random() < 0.5 else proxy
        if not victim.alive:
            return True
        deeds = [self.kill, self.kill, self.stop, self.stop, self.part, self.part_from_server, self.cut]
        deed = self.chance.choice(deeds + 5 * self._parts_from_all * [self.part_from_server])
        deed(victim, f"{when}, ")
        return not (deed is self.kill and victim is proxy)

    async def run(self, count: int) -> None:
        """Have this many things happen at any time."""
        deeds = [self.kill, self.stop, self.part, self.part, self.part_from_server, self.cut]
        for _ in range(count):
            await self.world.sleep(self.chance.random() * 0.8)
            if self.world.ending:
                return
            if self.chance.random() < 0.25:
                self.server()
            elif living := self.world.living:
                self.chance.choice(deeds)(self.chance.choice(living))

    def heal(self) -> None:
        """Nothing fails any more, and all proxies run."""
        world = self.world
        world.blocked.clear()
        for end in list(world.net.open.ends):
            end.stalled_until = 0.0
            end._ship()
        for proxy in world.proxies:
            proxy.process.stopped_until = 0.0
            if not proxy.alive:
                self._restart(proxy)

    # -- what happens

    def kill(self, victim: FleetProxy, when: str = "") -> None:
        """SIGKILL; it is started again some time later."""
        self.ways_alone = False
        self._note(f"{when}{victim} is killed")
        victim.down = victim.hit = True
        self.world.clock.at(0, victim.kill)
        self.world.clock.at(self.chance.choice(BACK_S), self._restart, victim)

    def _restart(self, victim: FleetProxy) -> None:
        if self.world.target is not None and not self.world.ending:
            # With either file it might serve what is old: an operator waits for the end of a switchover.
            self.world.clock.at(0.2, self._restart, victim)
        elif not victim.process.alive:
            self._note(f"{victim} is started again")
            self.world.write_config(victim.number, self.world.current)
            victim.restart()

    def stop(self, victim: FleetProxy, when: str = "") -> None:
        """SIGSTOP, and SIGCONT later."""
        self.ways_alone = False
        seconds = self._for()
        victim.hit = True
        self._note(f"{when}{victim} stops for {seconds} s")
        victim.process.stop_for(seconds)

    def part(self, victim: FleetProxy, when: str = "") -> None:
        """Nothing gets through between this one and another one, or all others."""
        self.ways_alone = False
        others = [each for each in self.world.proxies if each is not victim]
        if self.chance.random() < 0.5:
            others = [self.chance.choice(others)]
        seconds = self._for()
        for other in others:
            self._block(victim.host, other.host, seconds)
        self._note(f"{when}{victim} and {', '.join(map(str, others))} are parted for {seconds} s")

    def part_from_server(self, victim: FleetProxy, when: str = "") -> None:
        """Nothing gets through between this one and a server, or all of them."""
        server, seconds = self.chance.choice(self.world.servers), self._for()
        servers = self.world.servers if self._parts_from_all else [server]
        victim.hit = True
        for each in servers:
            self._block(victim.host, each.name.partition(":")[0], seconds)
        self._note(f"{when}{victim} and {', '.join(each.name for each in servers)} are parted for {seconds} s")

    def cut(self, victim: FleetProxy, when: str = "") -> None:
        """One of its connections to a peer is lost; each side learns of it some time later."""
        self.ways_alone = False
        links = [
            end
            for end in self.world.net.open.ends
            if end.process is victim.process and self._other(end)[:7] == "10.0.9."
        ]
        if not links:
            return
        near = self.chance.choice(links)
        self._note(f"{when}a link of {victim} is cut")
        for end in (near, near.peer):
            process = end.process
            end.peer = nowhere = End(self.world.net, end.getHost(), "nowhere")
            nowhere.gone = True
            if process is not None:
                process.at(self.chance.choice(NOTICED_AFTER_S), end._lost, ConnectionLost())

    def server(self) -> None:
        """A server hangs, or nobody reaches it."""
        self.ways_alone = False
        server, seconds = self.chance.choice(self.world.servers), self.chance.choice(LASTS_S[:3])
        if self.chance.random() < 0.5 and not server.hung:
            self._note(f"{server.name} hangs for {seconds} s")
            server.hang(seconds)
        else:
            self._note(f"{server.name} can't be reached for {seconds} s")
            server.unreachable = True
            self.world.clock.at(seconds, setattr, server, "unreachable", False)

    # -- how

    def _for(self) -> float:
        seconds = self.chance.choice(LASTS_S)
        self.quiet_at = max(self.quiet_at, self.world.clock.seconds() + seconds)
        return seconds

    def _block(self, one: str, other: str, seconds: float) -> None:
        until = self.world.clock.seconds() + seconds
        self.world.blocked[frozenset((one, other))] = until
        for end in self.world.net.open.ends:
            if {self.world.host_of(end.process), self._other(end)} == {one, other}:
                end.stalled_until = end.peer.stalled_until = until

    def _other(self, end: End) -> str:
        """The host at the other end."""
        server: Any = getattr(end.peer.protocol, "server", None)
        return server.name.partition(":")[0] if server is not None else self.world.host_of(end.peer.process)

    def _note(self, text: str) -> None:
        self.world.note("fate", text)
