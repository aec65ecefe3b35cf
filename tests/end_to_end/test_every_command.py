"""Every command that a server has, allowed and sent through the proxy, leaves the shared connections as they were.

The commands come from the server's own COMMAND, so that those of newer servers are tried, too.
"""

from __future__ import annotations

import contextlib
import select
import shlex
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from redisproxy.commands.redis_commands import SUBCOMMANDS, TABLE
from redisproxy.resp import encode_command
from tests.end_to_end.harness import (
    Proxy,
    RedisServer,
    free_port,
    redis_6,
    redis_8,
    redis_program,
    valkey_9,
    wait_until,
)

pytestmark = pytest.mark.one_twin

PROGRAMS = {"redis-6.2": redis_6, "redis-7.0": redis_program, "redis-8": redis_8, "valkey-9": valkey_9}
ALLOWED = [name for name, found in TABLE.items() if found.allowed is not None] + [
    name for name, subcommands in SUBCOMMANDS.items() if any(each.allowed is not None for each in subcommands.values())
]
FILLINGS = ("k", "1")

# Sent besides what is made up from the arity.
EXAMPLES = """
    MONITOR; SYNC; PSYNC ? -1; REPLCONF listening-port 7; REPLCONF capa eof; READONLY; READWRITE; ASKING
    SCRIPT DEBUG YES; SCRIPT DEBUG SYNC; CLIENT REPLY OFF; CLIENT REPLY SKIP; CLIENT TRACKING ON
    CLIENT TRACKING ON BCAST; CLIENT CACHING YES; CLIENT NO-EVICT on; CLIENT NO-TOUCH on; CLIENT CAPA redirect
    CLIENT IMPORT-SOURCE ON; CLIENT SETNAME other; CLIENT SETINFO lib-name other; CLIENT PAUSE 1; CLIENT PAUSE 1 WRITE
    HELLO 3; HELLO 2; HELLO 3 SETNAME other; SELECT 3; MULTI; WATCH k; SUBSCRIBE c; PSUBSCRIBE c; SSUBSCRIBE c
    BLPOP nolist 0; XREAD BLOCK 0 STREAMS nostream $; XREADGROUP GROUP g c BLOCK 0 STREAMS nostream >; WAIT 1 0
    BLMPOP 0 1 nolist LEFT; BZPOPMIN nolist 0; BLMOVE nolist k LEFT RIGHT 0; DEBUG SLEEP 0; DEBUG PROTOCOL push
    DEBUG PROTOCOL attrib; DEBUG PROTOCOL map; DEBUG OBJECT k; DEBUG HELP; DEBUG SET-ACTIVE-EXPIRE 1
    EVAL "redis.call('select', 3) return 1" 0; EVAL "redis.setresp(3) return redis.call('hgetall', 'h')" 0
    EVAL "return redis.pcall('readonly')" 0; EVAL "return redis.pcall('client', 'reply', 'off')" 0
    EVAL "return redis.pcall('multi')" 0; EVAL "return redis.pcall('monitor')" 0; AUTH x; RESET
    EVAL "return redis.pcall('subscribe', 'c')" 0; ACL SETUSER someone on; ACL DELUSER someone; CONFIG SET maxmemory 0
    SHUTDOWN ABORT; FAILOVER ABORT; REPLICAOF NO ONE; SLAVEOF NO ONE; CLUSTER RESET; CLUSTER INFO; CLUSTER NODES
    CLUSTER SYNCSLOTS ESTABLISH SOURCE x NAME y SLOTSRANGE 0 1; CLUSTER SYNCSLOTS CAPA x; PFADD h 1; PFDEBUG GETREG h
    PFDEBUG ENCODING h; PFDEBUG DECODE h; PFDEBUG TODENSE h; CLIENT UNPAUSE; CLIENT KILL ID 99999; QUIT"""

# Made up arguments would do harm to the test itself, or take long: only what stands in the examples is sent.
NOT_MADE_UP = {
    *("shutdown", "replicaof", "slaveof", "debug", "failover", "migrate", "pfselftest", "client|kill", "client|pause"),
    *("blpop", "brpop", "brpoplpush", "blmove", "blmpop", "bzpopmin", "bzpopmax", "bzmpop", "wait", "waitaof"),
}


@pytest.fixture(scope="module", params=PROGRAMS)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[RedisServer, Proxy]]:
    program = PROGRAMS[request.param]()
    options = [] if program == redis_6() else ["--enable-debug-command", "yes", "--enable-module-command", "yes"]
    with (
        RedisServer(*options, program=program) as server,
        Proxy(server.uplink, allow_commands=ALLOWED, pubsub=True) as proxy,
    ):
        yield server, proxy


def commands(server: RedisServer) -> list[tuple[str, int]]:
    """Name (C{name} or C{name|subcommand}) and least number of words of every command that the server has."""
    client = server.client()
    client.response_callbacks.clear()
    found: dict[str, int] = {}
    for name, arity, *_, more in client.execute_command("COMMAND"):
        found[name] = abs(arity)
        for each in more if isinstance(more, list) and more and isinstance(more[0], list) else ():
            if isinstance(each[0], str) and "|" in each[0]:
                found[each[0]] = abs(each[1])
    for name, subcommands in SUBCOMMANDS.items():
        for word in subcommands:
            if word not in ("*", ""):
                found.setdefault(f"{name}|{word}".lower(), 3)
    return sorted(found.items())


def lines(server: RedisServer) -> Iterator[list[str]]:
    """Make every command with made-up arguments, then the examples."""
    for name, arity in commands(server):
        if name in NOT_MADE_UP:
            continue
        words = name.split("|")
        for filling in FILLINGS:
            yield words + [filling] * (arity - len(words))
    for line in EXAMPLES.replace("\n", ";").split(";"):
        if line.strip():
            yield shlex.split(line)


class Witness:
    """Another client, on the same shared connection, and a look at the server's side of it."""

    def __init__(self, server: RedisServer, proxy: Proxy, version: int) -> None:
        self._server = server.client()
        self._proxy = proxy
        self.sock = proxy.connect(5)
        self.sock.sendall(encode_command("HELLO", version))
        assert select.select([self.sock], [], [], 5)[0] and self.sock.recv(65536)
        self._count = 0
        self.check("the beginning")

    def check(self, after: str) -> None:
        """Check that the witness gets its replies and nothing else, and that no connection of the proxy has state."""
        self._count += 1
        token = b"token-%d" % self._count
        self.sock.sendall(
            encode_command("SET", "w", token) + encode_command("ECHO", token) + encode_command("GET", "w")
        )
        bulk = b"$%d\r\n%b\r\n" % (len(token), token)
        expected = b"+OK\r\n" + bulk * 2
        got = b""
        while len(got) < len(expected) and select.select([self.sock], [], [], 5)[0]:
            got += self.sock.recv(65536) or b"closed"
        assert got == expected, after
        wait_until(lambda: not self.special(), f"no connection is special after {after}: {self.special()}", 5)

    def special(self) -> list[dict[str, str]]:
        """The proxy's connections that have another state than after the login."""
        return [each for each in self._server.client_list() if each["name"] == "redisproxy" and not ordinary(each)]


def ordinary(line: dict[str, str]) -> bool:
    """Whether a line of CLIENT LIST shows a connection without state; its database and RESP version are the pool's."""
    state: dict[str, Any] = {"flags": "N", "sub": "0", "psub": "0", "ssub": "0", "watch": "0"}
    state |= {"redir": "-1", "user": "default"}
    return all(line.get(key, value) == value for key, value in state.items())


def send(proxy: Proxy, version: int, *requests: bytes) -> None:
    """Send the lines on a new connection, wait a moment for an answer, and leave."""
    with proxy.connect(5) as sock, contextlib.suppress(ConnectionError):
        sock.sendall(encode_command("HELLO", version))
        sock.recv(65536)
        for request in requests:
            sock.sendall(request)
            if select.select([sock], [], [], 0.2)[0]:
                sock.recv(1048576)


@pytest.mark.parametrize("version", [2, 3])
def test_no_command_changes_a_connection_that_others_use(pair: tuple[RedisServer, Proxy], version: int) -> None:
    server, proxy = pair
    witness = Witness(server, proxy, version)
    for words in lines(server):
        request = encode_command(*words)
        send(proxy, version, request)
        witness.check(f"{words}")
    witness.sock.close()


def test_nor_does_one_inside_of_multi(pair: tuple[RedisServer, Proxy]) -> None:
    server, proxy = pair
    witness = Witness(server, proxy, 2)
    for words in lines(server):
        parts = encode_command("MULTI"), encode_command(*words), encode_command("EXEC")
        send(proxy, 2, b"".join(parts))
        send(proxy, 2, *parts)
        witness.check(f"MULTI, {words}, EXEC")
    witness.sock.close()


def cluster_port() -> int:
    """A free port with a free one for the cluster bus, which is 10000 above it."""
    while True:
        port = free_port()
        with contextlib.suppress(OSError, OverflowError), socket.socket() as bus:
            bus.bind(("127.0.0.1", port + 10000))
            return port


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_the_state_of_a_cluster_connection_is_nobodys(program: Any) -> None:
    with RedisServer("--cluster-enabled", "yes", program=program(), port=cluster_port()) as server:
        direct = server.client()
        for first in range(0, 16384, 4096):
            direct.execute_command("CLUSTER", "ADDSLOTS", *range(first, first + 4096))
        wait_until(lambda: "cluster_state:ok" in str(direct.execute_command("CLUSTER", "INFO")), "the slots are served")
        with Proxy(server.uplink) as proxy, proxy.connect(5) as sock:
            witness = Witness(server, proxy, 2)
            for name in ("READONLY", "ASKING", "READWRITE"):
                sock.sendall(encode_command(name))
                assert sock.recv(65536).startswith(b"-ERR redisproxy does not support"), name
                witness.check(name)
            sock.sendall(encode_command("CLUSTER", "KEYSLOT", "k"))
            assert sock.recv(65536) == b":7629\r\n"
            witness.sock.close()


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_what_is_harsh_to_the_server_harms_no_connection(program: Any) -> None:
    options = ["--enable-debug-command", "yes"] if program is not redis_6 else []
    with (
        RedisServer(*options, program=program()) as server,
        Proxy(server.uplink, allow_commands=ALLOWED) as proxy,
        proxy.connect(5) as idle,
    ):
        witness = Witness(server, proxy, 2)
        for line in (
            *("ACL SETUSER default off", "CONFIG SET requirepass secret", "ACL SETUSER default on nopass", "FLUSHALL"),
            *("SWAPDB 0 1", "DEBUG SLEEP 0.1", "DEBUG RELOAD", "CLIENT PAUSE 100", "BGSAVE", "SCRIPT FLUSH"),
        ):
            send(proxy, 2, encode_command(*line.split()))
            witness.check(line)
        witness.sock.close()
        proxy.client().shutdown(nosave=True)  # takes the end of the connection for success
        assert server.process.wait(10) == 0
        server.start()
        idle.sendall(encode_command("ECHO", "again"))
        assert idle.recv(65536) == b"$5\r\nagain\r\n"
