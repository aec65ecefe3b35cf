"""A pinned connection that a client gives back to the pool is like a new one, whatever that client has done.

There is one such connection at most, so that the next client gets it, unless it was closed.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from redisproxy.resp import encode_command as cmd
from tests.end_to_end.harness import Proxy, RedisServer, wait_until

ROUNDS = 40
LARGE = "x" * 40000
_COMMANDS = """
MULTI; MULTI x; EXEC; EXEC; EXEC x; DISCARD; DISCARD x; WATCH a; WATCH a b; WATCH; UNWATCH; FOO; RESET; QUIT
SELECT 0; SELECT 1; SELECT 99; HELLO 2; HELLO 3; HELLO 2 AUTH nobody x; HELLO 3 AUTH nobody x
SUBSCRIBE c; PSUBSCRIBE c*; SSUBSCRIBE s; UNSUBSCRIBE; PUNSUBSCRIBE c*; MONITOR; READONLY; ASKING
CLIENT TRACKING ON; CLIENT TRACKING ON BCAST; CLIENT TRACKING ON OPTIN; CLIENT TRACKING OFF; CLIENT CACHING YES
CLIENT TRACKINGINFO; CLIENT INFO; CLIENT REPLY OFF; CLIENT REPLY SKIP; CLIENT REPLY ON; CLIENT NO-TOUCH on
GET a; GET b; SET a 1; WAIT 0 1; SCRIPT KILL; SCAN 0; BLPOP l 0.001; XREAD BLOCK 1 STREAMS s $
EVAL redis.call('select',1) 0; GET large; EVAL large 0
"""
COMMANDS = [line.split() for line in _COMMANDS.strip().replace("\n", ";").split(";")]
UNDO = "UNSUBSCRIBE; PUNSUBSCRIBE; SUNSUBSCRIBE; DISCARD; UNWATCH; CLIENT TRACKING OFF; CLIENT REPLY ON; PING the-end"
END = b"the-end"


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        for db in (0, 1):
            server.client(db=db).set("db", db)
            server.client(db=db).hset("h", "f", "v")
        yield server


@pytest.fixture(scope="module")
def proxy(server: RedisServer) -> Iterator[Proxy]:
    uplink = {**server.uplink, "max_pinned": 1, "max_dedicated": 0}
    limits = {"max_held_request_bytes": 32768, "max_failed_logins": 1000000}
    with Proxy(uplink, pubsub=True, allow_commands=["MONITOR"], limits=limits) as proxy:
        yield proxy


class Talk:
    """A client that sends anything, and reads what it wants to."""

    def __init__(self, proxy: Proxy) -> None:
        self._socket = socket.create_connection(("127.0.0.1", proxy.port))
        self._socket.settimeout(10)
        self._got = b""

    def send(self, data: bytes) -> None:
        with suppress(OSError):  # closed by QUIT
            self._socket.sendall(data)

    def until(self, end: bytes) -> bytes:
        """Read up to `end`, or up to the end of the connection."""
        while end not in self._got:
            try:
                data = self._socket.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                return self._got
            self._got += data
        before, _, self._got = self._got.partition(end)
        return before + end

    def ask(self, *words: str | int) -> bytes:
        """Send a command and return the one line of its reply."""
        self.send(cmd(*words))
        return self.until(b"\r\n")

    def close(self) -> None:
        self._socket.close()


def act(chance: random.Random, proxy: Proxy, commands: list[list[str]]) -> None:
    """Send the commands, then undo what they have done, or leave."""
    client = Talk(proxy)
    stream = b"".join(cmd(*words) for words in commands).replace(cmd("large")[4:], cmd(LARGE)[4:])
    while stream:
        size = chance.choice([len(stream), chance.randint(1, 200)])
        client.send(stream[:size])
        stream = stream[size:]
        if chance.random() < 0.1:
            break  # in the middle of a command, perhaps
    if chance.random() < 0.6 and not stream and ["MONITOR"] not in commands:
        client.send(b"".join(cmd(*words.split()) for words in UNDO.split(";")))
        client.until(END)
    client.close()


def like_a_new_one(chance: random.Random, proxy: Proxy, server: RedisServer) -> None:
    """Let another client take the connection, and check that it finds a new one."""
    client, db, version = Talk(proxy), chance.randrange(2), chance.choice([2, 3])
    client.send(cmd("HELLO", version))
    client.until(b"modules\r\n*0\r\n")
    assert client.ask("SELECT", db) == b"+OK\r\n"
    assert client.ask("WATCH", "mine") == b"+OK\r\n"
    for key in "ab":
        server.client(db=0).set(key, chance.random())
        server.client(db=1).set(key, chance.random())
    server.client().publish("c", "message")
    client.send(cmd("HGETALL", "h") + cmd("GET", "db"))
    pairs = b"%1\r\n" if version == 3 else b"*2\r\n"
    value = b"$1\r\n%d\r\n" % db
    assert client.until(value) == pairs + b"$1\r\nf\r\n$1\r\nv\r\n" + value
    assert client.ask("MULTI") == b"+OK\r\n"
    assert client.ask("GET", "db") == b"+QUEUED\r\n"
    flags = [listed["flags"] for listed in server.client().client_list()]
    assert not set("".join(flags)) & set("OPtd") and flags.count("x") == 1
    client.send(cmd("EXEC"))
    assert client.until(value) == b"*1\r\n" + value
    client.close()


@pytest.mark.parametrize("seed", range(4))
def test_whatever_a_client_does_its_connection_is_to_others_as_a_new_one(
    seed: int, proxy: Proxy, server: RedisServer
) -> None:
    for number in range(ROUNDS):
        chance = random.Random(f"{seed}-{number}")
        done = chance.choices(COMMANDS, k=chance.randint(1, 12))
        try:
            act(chance, proxy, done)
            like_a_new_one(chance, proxy, server)
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"round {number}, behind {done}") from error
    wait_until(lambda: proxy.info()["in_flight"] == 0, "nothing is in flight")
