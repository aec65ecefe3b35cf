"""Fuzzes the lanes of two clients over one uplink queue: the twins agree on every effect, in any order of events."""

from __future__ import annotations

from typing import Any

from redisproxy.resp import RUN, ProtocolError, encode_command
from tests.fuzz.cutting import Case
from tests.fuzz.twins import Twin, same

SPECIAL = frozenset({b"MULTI", b"AUTH"})
COMMANDS = [
    encode_command("GET", "a") * 3,
    encode_command("SET", "key", "v" * 40),
    encode_command("MULTI"),
    encode_command("INCR", "n")[:9],
    encode_command("INCR", "n")[9:],
    b"PING\r\n",
    b"*0\r\n",
    encode_command("GET", "b") * 20,
    encode_command("get", "a") + encode_command("SET", "a", "b", "EX", 1) + encode_command("hgetall", "a") * 2,
]
REPLIES = [
    b"+OK\r\n",
    b"$3\r\nabc\r\n",
    b"*2\r\n:1\r\n:2\r\n",
    b"-ERR no\r\n",
    b"$-1\r\n",
    b">1\r\n+x\r\n",
    b"?\r\n",
    b":1\r\n" * 3,
]
LIMIT = 25
FAMILIES = {b"GET": 1, b"SET": 2, b"INCR": 2, b"MULTI": 3}
BOUNDS_NS = (1_000, 5_000, 20_000, 100_000)


class _Client:
    """The client behind a lane: it sends by itself what the lane does not take."""

    def __init__(self, name: str, twin: Twin, world: _World) -> None:
        self.name = name
        self.log = world.log
        self.framer = twin.RequestFramer(SPECIAL)
        self.lane = twin.Lane(self, self.framer, world.flow)
        self.lane.transport = self
        self.lane.limit = LIMIT
        self.lane.straight_out = True
        self.world = world
        self.broken = False

    def write(self, data: bytes) -> None:
        self.log.append((self.name, "written", data))

    def deliver(self, data: bytes, done: int) -> None:
        self.log.append((self.name, "delivered", data, done))

    def lost(self) -> None:
        self.log.append((self.name, "lost"))

    def send(self, data: bytes) -> None:
        if self.broken:
            return
        if not self.lane.take(data):
            try:
                self._by_hand()
            except ProtocolError as error:
                self.broken = True
                self.log.append((self.name, error.text))
        self.log.append((self.name, "pending", self.lane.pending, self.framer.buffered))

    def _by_hand(self) -> None:
        flow = self.world.flow
        unit = self.lane.left_over
        if unit is not None:
            self.lane.left_over = None
        while (unit := unit or self.framer.next()) is not None:
            kind, raw, extra = unit
            if kind == RUN:
                flow.in_flight += extra
                self.lane.pending += extra
                entry = self.world.queue.submit(self.lane, raw, extra)
                flow.begun(entry, raw, extra, self.lane.arrived_ns)
            self.log.append((self.name, kind, raw, extra))
            unit = None


class _World:
    def __init__(self, twin: Twin) -> None:
        self.log: list[Any] = []
        self.flow = twin.Flow(FAMILIES, BOUNDS_NS)
        self.flow.clock = lambda: 1_000 * len(self.log)
        self.queue = twin.Queue(lambda flush: self.log.append("scheduled"), self.flow, self.release)
        self.queue.transport = self
        self.queue.ready = True
        self.clients = [_Client(name, twin, self) for name in "ab"]

    def write(self, data: bytes) -> None:
        self.log.append(("out", data))

    def release(self, count: int) -> None:
        self.flow.in_flight -= count
        self.log.append(("released", count))

    def answer(self, data: bytes) -> bool:
        try:
            self.queue.dispatch(data)
        except ProtocolError as error:
            self.log.append(("broken", error.text))
            return False
        return True


def run(twin: Twin, choices: bytes) -> list[Any]:
    """Play the events that `choices` name; return everything that can be observed."""
    world = _World(twin)
    for choice in choices:
        kind, which = choice & 7, choice >> 3
        client = world.clients[which & 1]
        if kind <= 2:
            client.lane.queue = world.queue if which & 2 else client.lane.queue
            client.send(COMMANDS[(which >> 1) % len(COMMANDS)])
        elif kind <= 5:
            data = REPLIES[which % len(REPLIES)]
            cut = which % len(data)
            if not (world.answer(data[:cut]) if cut else True) or not world.answer(data[cut:]):
                break
        elif kind == 6:
            world.flow.open = not world.flow.open if which & 4 else world.flow.open
            client.lane.straight_out = bool(which & 2)
            client.lane.queue = None if which & 8 else world.queue
        else:
            world.queue.flush()
        world.log.append((len(world.queue), world.flow.in_flight, world.flow.commands, world.flow.bytes_to_clients))
        assert world.flow.in_flight == sum(entry.want for entry in world.queue.entries()), "the gate's count is off"
    figures = world.flow.figures
    assert sum(figures.commands) == world.flow.commands
    world.log.append([figures.commands, figures.errors, figures.client_ns, figures.uplink_ns])
    world.log.append([figures.client, figures.uplink])
    world.log.append([(client_name(entry), entry.want) for entry in world.queue.clear()])
    return world.log


def client_name(entry: Any) -> str:
    """Whose replies `entry` stands for."""
    name: str = entry.sink.client.name
    return name


def check(data: bytes) -> None:
    """Raise when the twins differ on the events in `data`."""
    case = Case(data)
    same(lambda twin: run(twin, case.stream[:400]))
