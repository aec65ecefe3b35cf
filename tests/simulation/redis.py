"""A small model of a Redis server: strings, counters, lists with blocking pops, transactions, databases, replication.

Written from Redis's documentation, apart from the proxy's code. Everything it has acknowledged survives a crash, as
with C{appendfsync always}; what a replica has not received when it is promoted is gone.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import hiredis

from tests.simulation import pubsub
from tests.simulation.clock import SimClock
from tests.simulation.connection_commands import ANSWERED_WHILE_BUSY, DATABASES, IN_MULTI, SPECIAL, Blocked
from tests.simulation.data_commands import COMMANDS, EFFECTS, WRITES
from tests.simulation.network import End
from tests.simulation.values import NOTHING, QUEUED, Effect, Error, Key, encode


class Connection:
    """One client connection, as the server sees it."""

    def __init__(self, server: Server, end: End, number: int) -> None:
        self.server = server
        self.end = end
        self.id = number
        self.db = 0
        self.version = 2
        self.authenticated = not server.password
        self.reader = hiredis.Reader()
        self.waiting: list[list[bytes]] = []
        self.queue: list[list[bytes]] | None = None
        self.dirty = self.queue_error = False
        self.watched: list[Key] = []
        self.blocked: Blocked | None = None
        self.tracking: set[bytes] = set()
        self.tracked: set[bytes] = set()
        self.caching = False
        self.names = pubsub.no_names()
        end.protocol = self

    def dataReceived(self, data: bytes) -> None:
        self.reader.feed(data)
        while (command := self.reader.gets()) is not False:
            self.waiting.append(command)
        self.go_on()

    def connectionLost(self, reason: object) -> None:
        self.server.forget(self)

    def go_on(self) -> None:
        """Carry out what can be carried out now."""
        server = self.server
        while self.waiting and self.blocked is None and not server.hung and not self.end.gone:
            if server.holds(self, self.waiting[0]) or server.busy_for(self, self.waiting[0]):
                return
            args = self.waiting.pop(0)
            reply = server.command(self, args)
            self.caching = self.caching and args[0].upper() == b"CLIENT"
            if reply is not NOTHING:
                self.end.write(encode(reply, self.version))

    @property
    def tracks(self) -> bool:
        """Whether CLIENT TRACKING remembers what is read now."""
        return b"ON" in self.tracking and (self.caching or b"OPTIN" not in self.tracking)

    def invalidate(self, keys: list[bytes] | None) -> None:
        """CLIENT TRACKING: tell that these keys have changed, or everything. Nobody who is tracked here writes."""
        if b"ON" in self.tracking and self.version == 3:
            self.tracked.difference_update(keys or set(self.tracked))
            if b"BCAST" in self.tracking and self.server.feed_stalls_s:
                self._stall()
            self.end.write(b">2\r\n" + encode(b"invalidate", 3) + encode(keys, 3))

    def _stall(self) -> None:
        clock = self.server.clock
        if seconds := self.server.chance.choice(self.server.feed_stalls_s):
            self.end.stalled_until = max(self.end.stalled_until, clock.seconds() + seconds)

    def unblock(self, reply: Any) -> None:
        """End a blocking pop with this reply."""
        self.server.waiters.remove(self.blocked)  # type: ignore[arg-type]
        self.blocked = None
        self.end.write(encode(reply, self.version))
        self.server.clock.at(0, self.go_on)


@dataclass
class Replication:
    """A server's part in replication.

    @ivar offset: bytes of the stream that this server has produced, or applied as a replica.
    @ivar stream: effects on their way from the primary. @ivar number: changes with whom it follows.
    """

    replid: str
    replid2: str = "0" * 40
    second_offset: int = -1
    offset: int = 0
    primary: Server | None = None
    primary_name: tuple[str, int] = ("", 0)
    link_up: bool = False
    syncing: bool = False
    has_backlog: bool = False
    replicas: dict[Server, None] = field(default_factory=dict)
    number: int = 0
    last_arrival: float = 0.0
    stream: deque[tuple[Effect, int]] = field(default_factory=deque)


class Server:
    """One Redis server.

    @ivar down: it refuses connections. @ivar unreachable: they time out. @ivar hung: it is stopped (SIGSTOP).
    @ivar watch: called with what may be carried out now. @ivar scripts: digests of those that it has.
    @ivar link_broken: replicas get nothing from it now. @ivar lag: seconds that an effect takes to a replica.
    """

    def __init__(self, name: str, clock: SimClock, chance: Random, find: Callable[[str, int], Server | None]) -> None:
        self.name = name
        self.clock = clock
        self.chance = chance
        self.find = find
        self.password = ""
        self.down = self.unreachable = self.hung = self.link_broken = False
        self.lag = 0.001
        self.sync_s = 0.05
        self.dbs: list[dict[bytes, Any]] = [{} for _ in range(DATABASES)]
        self.config = {"min-replicas-to-write": "0", "min-replicas-max-lag": "10", "databases": str(DATABASES)}
        self.config |= {"masteruser": "", "masterauth": "", "tls-replication": "no"}
        self.run_id = self._new_id()
        self.repl = Replication(self._new_id())
        self.connections: dict[int, Connection] = {}
        self.waiters: list[Blocked] = []
        self.cursors: dict[int, bytes] = {}
        self.feed_stalls_s: tuple[float, ...] = ()
        self.no_scripts = Random(f"{name} {chance.getstate()[1][:3]}").random() < 0.3
        self.paused_until = 0.0
        self.script: Connection | None = None
        self.scripts: set[bytes] = set()
        self.crashes = 0
        self.errors = self.carried_out = 0
        self.watch: Callable[[Server, Connection, list[list[bytes]]], None] = lambda server, connection, commands: None
        self._last_id = 0
        self._effects: Effect = []

    def _new_id(self) -> str:
        return "%040x" % (self.chance.getrandbits(160) | 1)

    # -- life and death

    def accept(self, end: End) -> None:
        """Take a new connection."""
        self._last_id += 1
        self.connections[self._last_id] = Connection(self, end, self._last_id)

    def forget(self, connection: Connection) -> None:
        """The connection is gone."""
        self.connections.pop(connection.id, None)
        if self.script is connection:
            self.end_script()
        if connection.blocked is not None:
            self.waiters.remove(connection.blocked)
            connection.blocked = None

    def hang(self, seconds: float) -> None:
        """Answer nobody until L{wake} (SIGSTOP)."""
        self.hung = True
        self.clock.at(seconds, self.wake)

    def wake(self) -> None:
        """Go on (SIGCONT)."""
        self.hung = False
        for connection in list(self.connections.values()):
            connection.go_on()

    def crash(self, seconds: float) -> None:
        """Die, and come back with everything that was acknowledged."""
        self.down = True
        self.crashes += 1
        self.scripts.clear()
        self.paused_until = 0.0
        for connection in list(self.connections.values()):
            connection.end.abortConnection()
        for replica in list(self.repl.replicas):
            replica.lose_primary()
        self.clock.at(seconds, self.start)

    def start(self) -> None:
        """Come back: the settings that CONFIG SET has changed are as before, the fence too."""
        self.down = False
        self.run_id = self._new_id()
        self.config |= {"min-replicas-to-write": "0", "min-replicas-max-lag": "10"}
        repl = self.repl
        if repl.primary is None:
            self.repl = Replication(self._new_id(), offset=0, number=repl.number + 1)
        else:
            self.follow(*repl.primary_name)

    # -- replication

    def follow(self, host: str, port: int) -> None:
        """REPLICAOF."""
        for waiter in list(self.waiters):
            waiter.connection.unblock(Error("UNBLOCKED force unblock from blocking operation, instance state changed"))
        for replica in list(self.repl.replicas):
            replica.lose_primary()
        repl = self.repl
        if repl.primary is not None:
            repl.primary.repl.replicas.pop(self, None)
        repl.primary, repl.primary_name = self.find(host, port), (host, port)
        repl.link_up = repl.syncing = False
        repl.number += 1
        self._connect_to_primary(repl.number)

    def lose_primary(self) -> None:
        """The primary is gone: try to reach it again from time to time."""
        repl = self.repl
        if repl.primary is None:
            return
        repl.primary.repl.replicas.pop(self, None)
        repl.link_up = repl.syncing = False
        repl.number += 1
        self.clock.at(0.1, self._connect_to_primary, repl.number)

    def _connect_to_primary(self, number: int) -> None:
        repl = self.repl
        if number != repl.number or repl.primary is None or self.down:
            return
        primary = repl.primary
        if primary.down or primary.hung or primary.link_broken or primary.repl.primary is not None:
            self.clock.at(0.1, self._connect_to_primary, number)
            return
        if not primary.repl.has_backlog:
            primary.repl.has_backlog = True
            primary.repl.replid = self._new_id()
        repl.syncing = True
        repl.stream.clear()
        snapshot = copy.deepcopy(primary.dbs), primary.repl.replid, primary.repl.offset
        primary.repl.replicas[self] = None
        repl.last_arrival = self.clock.seconds() + self.sync_s * (0.5 + self.chance.random())
        self.clock.at(repl.last_arrival - self.clock.seconds(), self._synchronised, number, snapshot)

    def _synchronised(self, number: int, snapshot: tuple[Any, str, int]) -> None:
        repl = self.repl
        if number == repl.number and not self.down:
            self.dbs, repl.replid, repl.offset = snapshot
            repl.link_up, repl.syncing = True, False
            for connection in self.connections.values():
                connection.invalidate(None)

    def propagate(self, effect: Effect, size: int) -> None:
        """Count what was written and send it to the replicas."""
        self.repl.offset += size
        for replica in self.repl.replicas:
            replica.receive(effect, size, self)

    def receive(self, effect: Effect, size: int, primary: Server) -> None:
        """A piece of the stream is on its way here."""
        repl = self.repl
        late = self.clock.seconds() + primary.lag * (0.5 + self.chance.random())
        repl.last_arrival = max(repl.last_arrival, late)
        repl.stream.append((effect, size))
        self.clock.at(repl.last_arrival - self.clock.seconds(), self._apply, repl.number)

    def _apply(self, number: int) -> None:
        """The next piece of the stream has arrived."""
        repl = self.repl
        if number != repl.number or self.down:
            return
        if self.hung or repl.primary is None or repl.primary.link_broken:
            self.clock.at(0.02, self._apply, number)
            return
        effect, size = repl.stream.popleft()
        for db, args in effect:
            EFFECTS[args[0]](self, db, args)
        repl.offset += size

    def promote(self) -> None:
        """REPLICAOF NO ONE."""
        repl = self.repl
        if repl.primary is None:
            return
        repl.primary.repl.replicas.pop(self, None)
        repl.replid2, repl.replid, repl.second_offset = repl.replid, self._new_id(), repl.offset + 1
        repl.primary, repl.primary_name = None, ("", 0)
        repl.link_up = repl.syncing = False
        repl.has_backlog = True
        repl.number += 1

    @property
    def good_replicas(self) -> int:
        return sum(1 for replica in self.repl.replicas if replica.repl.link_up)

    # -- commands

    def holds(self, connection: Connection, args: list[bytes]) -> bool:
        """Whether CLIENT PAUSE WRITE holds this command back."""
        if self.clock.seconds() >= self.paused_until:
            return False
        name = args[0].upper()
        queued = connection.queue or ()
        if name == b"EXEC":
            return any(each[0].upper() in WRITES for each in queued)
        return name in WRITES and connection.queue is None

    def busy_for(self, connection: Connection, args: list[bytes]) -> bool:
        """Whether a script that does not end holds this command back. Logging in is possible, and killing it."""
        if self.script is None:
            return False
        return self.script is connection or args[0].upper() not in ANSWERED_WHILE_BUSY

    def end_script(self) -> None:
        """End the script: it was killed, or its client is gone."""
        self.script = None
        self.clock.at(0, self.wake)

    def pause_writes(self, seconds: float) -> None:
        """CLIENT PAUSE ... WRITE."""
        self.paused_until = self.clock.seconds() + seconds
        self.clock.at(seconds, self.wake_paused)

    def wake_paused(self) -> None:
        """Carry out what CLIENT PAUSE has held back, if the pause is over."""
        if self.clock.seconds() >= self.paused_until and not self.hung:
            for connection in list(self.connections.values()):
                connection.go_on()

    def command(self, connection: Connection, args: list[bytes]) -> Any:
        """Carry out one command; its reply, an L{Error} too."""
        name = args[0].upper()
        self.carried_out += 1
        try:
            if not connection.authenticated and name not in (b"AUTH", b"HELLO", b"QUIT"):
                raise Error("NOAUTH Authentication required.")
            special = SPECIAL.get(name)
            if connection.queue is not None and name not in IN_MULTI:
                return self._queue(connection, args)
            pubsub.may_run(connection, name)
            if special is not None:
                return special(self, connection, args)
            self._may_write(connection, [args])
            if name == b"GET" and connection.tracks:
                connection.tracked.add(args[1])
            return self._finished(COMMANDS[name](self, connection.db, args))
        except Error as error:
            self.errors += 1
            return error
        except KeyError:
            self.errors += 1
            return Error(f"ERR unknown command '{name.decode()}'")

    def _finished(self, reply: Any) -> Any:
        effects, self._effects = self._effects, []
        if effects:
            self.propagate(effects, sum(len(b"".join(args)) + 14 for _, args in effects))
        self._serve_waiters()
        return reply

    def _may_write(self, connection: Connection, commands: list[list[bytes]]) -> None:
        if connection.queue is None:
            self.watch(self, connection, commands)
        if not any(args[0].upper() in WRITES for args in commands):
            return
        if self.repl.primary is not None:
            raise Error("READONLY You can't write against a read only replica.")
        wanted = int(self.config["min-replicas-to-write"])
        if wanted and self.good_replicas < wanted:
            raise Error("NOREPLICAS Not enough good replicas to write.")

    def _queue(self, connection: Connection, args: list[bytes]) -> Any:
        assert connection.queue is not None
        name = args[0].upper()
        try:
            if name not in COMMANDS and name not in SPECIAL:
                raise Error("ERR unknown command")
            if name == b"ECHO" and len(args) != 2:
                raise Error("ERR wrong number of arguments for 'echo' command")
            if name == b"WATCH":
                raise Error("ERR WATCH inside MULTI is not allowed")
            self._may_write(connection, [args])
        except Error:
            connection.queue_error = True
            raise
        connection.queue.append(args)
        return QUEUED

    def write(self, db: int, *args: bytes) -> None:
        """Carry out a write, and remember it for the replicas."""
        self._effects.append((db, list(args)))
        EFFECTS[args[0]](self, db, list(args))

    def touched(self, db: int, key: bytes) -> None:
        """A key has changed: transactions that watch it fail."""
        for connection in self.connections.values():
            if (db, key) in connection.watched:
                connection.dirty = True
            if key in connection.tracked or b"BCAST" in connection.tracking:
                connection.invalidate([key])

    def _serve_waiters(self) -> None:
        for waiter in list(self.waiters):
            for db, key in waiter.keys:
                if waiter in self.waiters and self.dbs[db].get(key):
                    value = self.dbs[db][key][0]
                    self.write(db, b"LPOP", key)
                    effects, self._effects = self._effects, []
                    self.propagate(effects, 30)
                    waiter.connection.unblock([key, value])

    def info(self) -> bytes:
        """INFO, with the fields that the proxy reads."""
        repl = self.repl
        replica = repl.primary is not None
        fields: dict[str, Any] = {
            "redis_version": "7.0.15", "run_id": self.run_id, "tcp_port": 6379, "used_memory": 1000000, "maxmemory": 0,
            "cluster_enabled": 0, "role": "slave" if replica else "master", "connected_slaves": len(repl.replicas),
            "master_replid": repl.replid, "master_replid2": repl.replid2, "master_repl_offset": repl.offset,
            "second_repl_offset": repl.second_offset,
            "total_error_replies": self.errors, "total_commands_processed": self.carried_out,
        }  # fmt: skip
        if replica:
            fields |= {"master_host": repl.primary_name[0], "master_port": repl.primary_name[1]}
            fields |= {"master_link_status": "up" if repl.link_up else "down", "slave_repl_offset": repl.offset}
            fields |= {"master_sync_in_progress": int(repl.syncing)}
        for at, each in enumerate(repl.replicas):
            host, _, port = each.name.rpartition(":")
            fields[f"slave{at}"] = f"ip={host},port={port},state=online"
        fields |= {f"db{at}": f"keys={len(db)},expires=0" for at, db in enumerate(self.dbs) if db}
        return "".join(f"{name}:{value}\r\n" for name, value in fields.items()).encode()
