"""Copying in the simulation: the commands of the model that a copy uses, and a copy that may be killed at any time.

The model of a server has strings and lists only; its DUMPs are its own.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail

from redisproxy.copying.changes import Changes
from redisproxy.copying.engine import CopyEngine
from redisproxy.copying.interface import CopyFailed, CopyProgress, Proof, Rest, Survey
from redisproxy.copying.trial import Trial, Way
from redisproxy.servers.copy_marker import MARKER
from tests.simulation.values import OK, Error, Status

if TYPE_CHECKING:
    from redisproxy.config import Settings
    from redisproxy.copying.endpoint import Endpoint
    from tests.simulation.network import SimNetwork
    from tests.simulation.processes import Process
    from tests.simulation.redis import Server
    from tests.simulation.world import World

SHARE = 0.4
"""Of the runs, those whose switchovers copy."""
KILLS, RESETS = 0.15, 0.2
"""Of the copies where things break, those whose process is killed, and those whose feed is lost."""
ONLY_STRINGS = 3
"""After so many strings SCAN is not asked for types any more; the model has few keys."""
FEED_STALLS_S = (0.0, 0.0, 0.0, 0.01, 0.05)
"""How long messages about changes are on their way, beside the network's own time."""


def copies(seed: int) -> bool:
    """Whether the switchovers of this run copy."""
    return Random(f"{seed} copying").random() < SHARE


def mode(seed: int) -> dict[str, Any]:
    """The settings of switchovers for that, beside the others."""
    chance = Random(f"{seed} copying settings")
    kinds = ("counts", "sample", "all")
    return {"mode": "copy", "replace_data": True, "verify": chance.choice(kinds)} if copies(seed) else {}


async def strings_and_lists(source: Endpoint, target: Endpoint) -> Trial:
    """What the model can dump and restore; in the place of L{redisproxy.copying.trial.try_types}."""
    return Trial({"string": Way.RESTORE, "list": Way.RESTORE}, {}, many=True)


# -- the commands


def marked(server: Server) -> bool:
    """Whether this server tells that it has a finished copy."""
    return bytes(server.dbs[0].get(MARKER.encode(), b"")).startswith(b"copied")


def delete_effect(server: Server, db: int, args: list[bytes]) -> None:
    server.dbs[db].pop(args[1], None)
    server.touched(db, args[1])


def restore_effect(server: Server, db: int, args: list[bytes]) -> None:
    server.dbs[db][args[1]] = pickle.loads(args[2])
    server.touched(db, args[1])


def flush_effect(server: Server, db: int, args: list[bytes]) -> None:
    server.dbs[db] = {}
    for connection in server.connections.values():
        connection.dirty = connection.dirty or any(place[0] == db for place in connection.watched)
        connection.invalidate(None)


def _delete(server: Server, db: int, args: list[bytes]) -> Any:
    there = [key for key in args[1:] if key in server.dbs[db]]
    for key in there:
        server.write(db, b"DEL", key)
    return len(there)


def _restore(server: Server, db: int, args: list[bytes]) -> Any:
    assert args[2] == b"0"
    server.write(db, b"RESTORE", args[1], args[3])
    return OK


def _flush_all(server: Server, db: int, args: list[bytes]) -> Any:
    for number, data in enumerate(server.dbs):
        if data:
            server.write(number, b"FLUSHDB")
    return OK


def _flush(server: Server, db: int, args: list[bytes]) -> Any:
    server.write(db, b"FLUSHDB")
    return OK


def _dump(server: Server, db: int, args: list[bytes]) -> Any:
    value = server.dbs[db].get(args[1])
    return None if value is None else pickle.dumps(value)


def _type(server: Server, db: int, args: list[bytes]) -> Any:
    value = server.dbs[db].get(args[1])
    return Status("none" if value is None else "list" if isinstance(value, list) else "string")


def _scan(server: Server, db: int, args: list[bytes]) -> Any:
    """The cursor is the place in the order of the names, so that no name is passed over that was there all the time."""
    after = server.cursors.get(int(args[1]), b"")
    found = sorted(key for key in server.dbs[db] if key > after)[:2]
    names = [key for key in found if b"TYPE" not in args or isinstance(server.dbs[db][key], bytes)]
    if not found or found[-1] == max(server.dbs[db], default=b""):
        return [b"0", names]
    cursor = len(server.cursors) + 1
    server.cursors[cursor] = found[-1]
    return [b"%d" % cursor, names]


def _get_range(server: Server, db: int, args: list[bytes]) -> Any:
    value = server.dbs[db].get(args[1], b"")
    if isinstance(value, list):
        raise Error("WRONGTYPE Operation against a key holding the wrong kind of value")
    return value[int(args[2]) : int(args[3]) + 1]


def _set_many(server: Server, db: int, args: list[bytes]) -> Any:
    for name, value in zip(args[1::2], args[2::2], strict=True):
        server.write(db, b"SET", name, value)
    return OK


def _time(server: Server, db: int, args: list[bytes]) -> Any:
    now = server.clock.seconds()
    return [b"%d" % now, b"%d" % (now % 1 * 1_000_000)]


def _random_key(server: Server, db: int, args: list[bytes]) -> Any:
    names = sorted(server.dbs[db])
    return server.chance.choice(names) if names else None


COPY_COMMANDS: dict[bytes, Callable[[Server, int, list[bytes]], Any]] = {
    b"DEL": _delete,
    b"UNLINK": _delete,
    b"EXISTS": lambda server, db, args: sum(key in server.dbs[db] for key in args[1:]),
    b"TYPE": _type,
    b"DUMP": _dump,
    b"RESTORE": _restore,
    b"SCAN": _scan,
    b"GETRANGE": _get_range,
    b"MSET": _set_many,
    b"FLUSHDB": _flush,
    b"FLUSHALL": _flush_all,
    b"TIME": _time,
    b"RANDOMKEY": _random_key,
    b"PEXPIRETIME": lambda server, db, args: -1 if args[1] in server.dbs[db] else -2,
}
COPY_WRITES = frozenset({b"DEL", b"UNLINK", b"RESTORE", b"MSET", b"FLUSHDB", b"FLUSHALL"})
COPY_EFFECTS: dict[bytes, Callable[[Server, int, list[bytes]], None]] = {
    b"DEL": delete_effect,
    b"RESTORE": restore_effect,
    b"FLUSHDB": flush_effect,
}


def script(server: Server, db: int, args: list[bytes]) -> Any:
    """The one script that a copy reads with; some servers let nobody run it."""
    if b"'SCAN'" not in args[1] or server.no_scripts:
        raise Error("ERR this script is not in the model")
    cursor, names = (b"", args[NAMES:]) if args[NAMES:] else _scan(server, db, [b"SCAN", args[3]])
    dumps = {name: dump for name in names if (dump := _dump(server, db, [b"DUMP", name])) is not None}
    restores = [_command(b"RESTORE", name, b"0", dump, *_OPTIONS) for name, dump in dumps.items()]
    return [cursor, len(restores), b"".join(restores), [], len(restores)]


_OPTIONS = (b"REPLACE", b"ABSTTL")
NAMES = 12
"""Where the names stand among the arguments of the script, if it is to read some."""


def _command(*args: bytes) -> bytes:
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(each), each) for each in args)


# -- the copy


class MortalCopying:
    """Implements C{copying.interface.Copying}: a copy whose process may be killed between and in its orders."""

    def __init__(
        self, old: Settings, new: Settings, world: World, network: SimNetwork, process: Process | None = None
    ) -> None:
        """
        @param process: with whose end it ends.
        """
        self._process = process
        clock: Any = world.clock if process is None else process.reactor
        self._engine = CopyEngine(old, new, network, clock)
        self._world = world
        self._killed = False
        chance = Random(f"{world.seed} copy at {world.clock.seconds()}")
        self._engine._changes = Changes(chance.choice((400, 3000, 1 << 20)))
        self._resets_feed = world.faulty and chance.random() < RESETS
        if world.faulty and chance.random() < KILLS:
            world.clock.at(chance.random() * chance.choice((0.02, 0.3, 1.0)), self.kill)

    def kill(self) -> None:
        """Nothing is done any more, and nothing answered."""
        if self._process is not None and not self._process.alive:
            return
        if not self._killed and not self._engine._stopped:
            self._world.note("fate", "the process that copies is killed")
            self._killed = True
            self._engine.stop().addErrback(lambda _: None)

    def _perhaps_reset_feed(self, losses: tuple[str, ...]) -> tuple[str, ...]:
        """What is told of changes from now on gets lost; the process hears of it a moment later."""
        if self._resets_feed:
            for connection in list(self._world.current.connections.values()):
                if b"BCAST" in connection.tracking and connection.version == 3:
                    self._world.note("fate", "the feed is lost")
                    connection.end.reset()
                    self._world.clock.at(0.01, connection.end.peer.reset)
        return losses

    def _alive(self, order: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        return fail(self._death()) if self._killed else order().addErrback(self._unless_killed)

    def _unless_killed(self, failure: Any) -> Any:
        return fail(self._death()) if self._killed else failure

    def _death(self) -> CopyFailed:
        return CopyFailed("the process that copies has ended (signal 9)")

    def survey(self) -> Deferred[Survey]:
        return self._alive(self._engine.survey)

    def copy(self, replace: bool) -> Deferred[tuple[str, ...]]:
        return self._alive(lambda: self._engine.copy(replace).addCallback(self._perhaps_reset_feed))

    def note(
        self, names: tuple[bytes, ...], perhaps: tuple[tuple[int, bytes], ...], everything: bool, flushed: bool
    ) -> Deferred[None]:
        return self._alive(lambda: self._engine.note(names, perhaps, everything, flushed))

    def near(self) -> Deferred[None]:
        return self._alive(self._engine.near)

    def copy_rest(self) -> Deferred[Rest]:
        return self._alive(self._engine.copy_rest)

    def verify(self, seconds: float) -> Deferred[Proof]:
        return self._alive(lambda: self._engine.verify(seconds))

    def progress(self) -> Deferred[CopyProgress]:
        return self._alive(self._engine.progress)

    def stop(self) -> Deferred[None]:
        return self._engine.stop()
