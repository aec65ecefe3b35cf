"""A model of Redis Sentinel: three of them watch the model's servers, and fail over when told to.

Written from Sentinel's documentation. Whom a sentinel promotes is drawn: of what replicas have it knows old news only.
"""

from __future__ import annotations

from random import Random
from typing import Any

from tests.simulation.clock import SimClock
from tests.simulation.network import End
from tests.simulation.redis import Connection, Server
from tests.simulation.values import NOTHING, Error, encode

NAME = "mymaster"
TICK_S = 0.1
CONVERT_S = 8.0
HELLO_S = 2.0
FOUND_S = 25.0
"""An old primary that is one still is made a replica after so long."""


class Sentinel:
    """One of them, as a host of the simulated network.

    @ivar primary: whom it takes for the primary, since `epoch` changes. @ivar down: nobody gets an answer.
    @ivar failing: the number of the failover that it carries out; 0 without one.
    @ivar removed: it watches nobody. @ivar told: the changes that it was told to make.
    """

    password = ""
    unreachable = hung = False

    def __init__(self, name: str, group: Sentinels) -> None:
        self.name = name
        self.clock = group.clock
        self.group = group
        self.primary = group.servers[0]
        self.epoch = 0
        self.down = False
        self.failing = 0
        self.removed = False
        self.told: list[str] = []
        self.connections: dict[int, Connection] = {}
        self.listening: dict[Connection, list[bytes]] = {}
        self._last_id = 0

    # -- as a host

    def accept(self, end: End) -> None:
        self._last_id += 1
        self.connections[self._last_id] = Connection(self, end, self._last_id)  # type: ignore[arg-type]

    def forget(self, connection: Connection) -> None:
        self.connections.pop(connection.id, None)
        self.listening.pop(connection, None)

    def holds(self, connection: Connection, args: list[bytes]) -> bool:
        return False

    busy_for = holds

    def crash(self, seconds: float) -> None:
        """Die, with the failover that it carries out, and come back."""
        self.down, self.failing = True, 0
        for connection in list(self.connections.values()):
            connection.end.abortConnection()
        self.clock.at(seconds, self._start)

    def _start(self) -> None:
        """It hears of what has changed meanwhile: each one tells all others every two seconds."""
        self.down = False
        for other in self.group.sentinels:
            self.clock.at(HELLO_S, lambda other=other: self.hear_of(other.primary, other.epoch))

    # -- commands

    def command(self, connection: Connection, args: list[bytes]) -> Any:
        if args[0] == b"SUBSCRIBE":
            self.listening[connection] = args[1:]
            for number, channel in enumerate(args[1:], 1):
                connection.end.write(encode([b"subscribe", channel, number], 2))
            return NOTHING
        if args[0] != b"SENTINEL" or args[2] != NAME.encode():
            return Error("ERR No such master with that name")
        if args[1] in (b"MONITOR", b"REMOVE", b"SET"):
            return self._changed([each.decode() for each in args[1:]])
        if self.removed:
            return [] if args[1] == b"GET-MASTER-ADDR-BY-NAME" else Error("ERR No such master with that name")
        return getattr(self, "_" + args[1].decode().lower().replace("-", "_"))()

    def _changed(self, args: list[str]) -> Any:
        self.told.append(" ".join(args))
        if args[0] == "MONITOR":
            self.primary, self.removed, self.epoch = self.group.at(":".join(args[2:4])), False, 0
        elif args[0] == "REMOVE":
            self.removed, self.failing = True, 0
        return b"OK"

    def _get_master_addr_by_name(self) -> list[bytes]:
        return [each.encode() for each in self.primary.name.split(":")]

    def _master(self) -> list[bytes]:
        host, port = self.primary.name.split(":")
        flags = ["master", *(["failover_in_progress"] if self.failing else []), *(["s_down"] * self.primary.down)]
        fields = ["ip", host, "port", port, "flags", ",".join(flags), "config-epoch", str(self.epoch)]
        fields += ["num-other-sentinels", "2", "quorum", "2", "down-after-milliseconds", "500", "parallel-syncs", "2"]
        return [each.encode() for each in fields]

    def _replicas(self) -> list[list[bytes]]:
        return [
            [each.encode() for each in (*_place(server), "flags", "slave,s_down" if server.down else "slave")]
            for server in self.group.servers
            if server is not self.primary
        ]

    def _ckquorum(self) -> Any:
        return Error("NOQUORUM") if self.group.alive < 2 else b"OK"

    def _failover(self) -> Any:
        if self.failing:
            return Error("INPROG Failover already in progress")
        if not self.group.good_replicas(self.primary):
            return Error("NOGOODSLAVE No suitable replica to promote")
        self.begin()
        return b"OK"

    def _reset(self) -> int:
        self.failing = 0
        return 1

    # -- failing over

    def begin(self) -> None:
        """Select, promote, tell, each at a tick of its own."""
        self.failing = self.group.next_number()
        self._later(self._select, self.failing)

    def _later(self, step: Any, *args: Any) -> None:
        self.clock.at(self.group.tick_s * (0.2 + self.group.chance.random()), step, *args)

    def _select(self, number: int) -> None:
        good = self.group.good_replicas(self.primary)
        if number != self.failing or not good:
            self.failing = 0 if number == self.failing else self.failing
            return
        self.publish("+failover-state-select-slave", f"master {NAME} {_words(self.primary)}")
        self._later(self._send, number, self.group.chance.choice(good))

    def _send(self, number: int, replica: Server) -> None:
        """The order to the replica is on its way, and arrives whatever becomes of the failover."""
        if number == self.failing:
            self.clock.at(0.05 * self.group.chance.random(), self._promote, number, replica)

    def _promote(self, number: int, replica: Server) -> None:
        if replica.down or replica.hung:
            self.clock.at(1.0, self._given_up, number)
            return
        replica.promote()
        for connection in list(replica.connections.values()):
            connection.end.abortConnection()
        self.clock.at(0.2 + self.group.chance.random(), self._told, number, replica)
        self.clock.at(CONVERT_S, self._convert, replica, None)
        self.clock.at(FOUND_S, self._find, replica)

    def _given_up(self, number: int) -> None:
        if number == self.failing:
            self.failing = 0

    def _told(self, number: int, replica: Server) -> None:
        if number != self.failing:
            return
        self.failing = 0
        self.publish("+promoted-slave", f"slave {replica.name} {_words(replica)} @ {NAME} {_words(self.primary)}")
        old = self.primary
        self.hear_of(replica, self.group.next_epoch())
        for server in self.group.servers:
            if server not in (old, replica):
                server.follow(*_host(replica))
        self.clock.at(CONVERT_S, self._convert, old, replica)

    def _convert(self, stray: Server, primary: Server | None) -> None:
        """Make a replica of one that takes itself for a primary, and that no sentinel takes for one."""
        named = primary or self.primary
        sane = named.repl.primary is None and self.primary is named is not stray and not self.failing
        if sane and stray.repl.primary is None and not stray.down:
            stray.follow(*_host(named))

    def _find(self, replica: Server) -> None:
        """Who has promoted it has told nobody, and died: another one finds a primary that follows, and fails over."""
        living = [each for each in self.group.sentinels if not each.down]
        told = any(each.primary is replica for each in self.group.sentinels)
        if living and not told and replica.repl.primary is None and living[0].primary.repl.primary is replica:
            living[0].hear_of(replica, self.group.next_epoch())

    def hear_of(self, primary: Server, epoch: int) -> None:
        """There is a new primary; the others hear of it in a while."""
        if epoch <= self.epoch or self.down:
            return
        before, self.primary, self.epoch = self.primary, primary, epoch
        self.publish("+switch-master", f"{NAME} {_words(before)} {_words(primary)}")
        for other in self.group.sentinels:
            self.clock.at(2.0 * self.group.chance.random(), other.hear_of, primary, epoch)

    def publish(self, channel: str, text: str) -> None:
        """Tell those who listen."""
        for connection, channels in list(self.listening.items()):
            if channel.encode() in channels:
                connection.end.write(encode([b"message", channel.encode(), text.encode()], 2))


class Sentinels:
    """Three sentinels, and the servers that they watch, of which the first one is the primary at first.

    @ivar tick_s: how long a step of a failover takes, about.
    """

    def __init__(self, clock: SimClock, servers: list[Server], chance: Random) -> None:
        self.clock = clock
        self.servers = servers
        self.chance = chance
        self.tick_s = TICK_S
        self._number = self._epoch = 0
        self.sentinels = [Sentinel(f"10.0.2.{at}:26379", self) for at in range(1, 4)]

    @property
    def alive(self) -> int:
        return sum(not each.down for each in self.sentinels)

    def good_replicas(self, primary: Server) -> list[Server]:
        """Those that may be promoted."""
        return [each for each in self.servers if each is not primary and not each.down and each.repl.primary is primary]

    def at(self, place: str) -> Server:
        """The server there, which is one of those that are watched from now on."""
        server = next((each for each in self.servers if each.name == place), None)
        assert server is not None, place
        return server

    def next_number(self) -> int:
        self._number += 1
        return self._number

    def next_epoch(self) -> int:
        self._epoch += 1
        return self._epoch


def _host(server: Server) -> tuple[str, int]:
    host, _, port = server.name.partition(":")
    return host, int(port)


def _words(server: Server) -> str:
    return server.name.replace(":", " ")


def _place(server: Server) -> tuple[str, ...]:
    host, port = server.name.split(":")
    return "ip", host, "port", port, "slave-priority", "100", "slave-repl-offset", str(server.repl.offset), "runid", ""
