"""The engine of a copy between real servers, order by order: what it does when rare things happen in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from redisproxy.config import Settings
from redisproxy.copying.engine import CopyEngine
from redisproxy.copying.interface import Proof, Rest
from redisproxy.net.errors import UplinkError
from redisproxy.net.twisted_network import TwistedNetwork
from redisproxy.servers.copy_marker import MARKER
from tests.end_to_end.copying import PROGRAMS, contents, fill, raw, run
from tests.end_to_end.harness import RedisServer

pytestmark = pytest.mark.one_twin

KEYS = 1000
Between = Callable[["Copy"], Awaitable[None]]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[RedisServer, RedisServer]]:
    with RedisServer(program=PROGRAMS["Redis 7.0"]()) as old, RedisServer(program=PROGRAMS["Redis 8"]()) as new:
        yield old, new


@pytest.fixture
def pair(servers: tuple[RedisServer, RedisServer]) -> tuple[RedisServer, RedisServer]:
    for each in servers:
        each.client().flushall()
        each.client().config_set("notify-keyspace-events", "")
    return servers


def settings(uplink: dict[str, Any], **switchover: Any) -> Settings:
    document = {"uplink": uplink, "listen": [{"addr": "127.0.0.1:1"}], "switchover": {"mode": "copy", **switchover}}
    return Settings.model_validate(document, strict=False)


class Copy:
    """A copy from one server to another, in a reactor."""

    def __init__(self, reactor: Any, old: Settings, new: Settings) -> None:
        self.reactor = reactor
        self.rest = Rest(0)
        self.engine = CopyEngine(old, new, TwistedNetwork(reactor), reactor)

    def sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self.reactor, seconds)


async def nothing(copy: Copy) -> None:
    """Nothing happens."""


def copied(
    pair: tuple[RedisServer, RedisServer],
    before: Between = nothing,
    held: Between = nothing,
    at_rest: Between = nothing,
    login: dict[str, str] | None = None,
    new_login: dict[str, Any] | None = None,
    **switchover: Any,
) -> Proof:
    """Copy everything; something happens before the clients are held, afterwards, and at the end. What was compared."""
    old, new = pair

    async def main(reactor: Any) -> Proof:
        copy = Copy(reactor, settings({**old.uplink, **(login or {})}), settings(new_login or new.uplink, **switchover))
        engine = copy.engine
        try:
            assert (await engine.survey()).faults == ()
            assert await engine.copy(replace=False) == ()
            await before(copy)
            await engine.near()
            await held(copy)
            copy.rest = await engine.copy_rest()
            await at_rest(copy)
            proof = await engine.verify(5.0)
            assert raw(new).getdel(MARKER).startswith(b"copying"), "whoever looks for the leader's work finds nothing"
            return proof
        finally:
            await engine.stop()

    proof: Proof = run(main)
    return proof


def same(pair: tuple[RedisServer, RedisServer]) -> bool:
    return all(contents(raw(pair[0], db=db), False) == contents(raw(pair[1], db=db), False) for db in range(3))


def fill_both_databases(old: RedisServer) -> None:
    for db in (0, 1):
        old.client(db=db).mset({f"key:{at}": f"{db} {at}" for at in range(KEYS)})


class Changing(threading.Thread):
    """Changes keys of two databases at a server until it is stopped."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__(daemon=True)
        self.stopped, self.rounds = threading.Event(), 0
        self._clients = [server.client(db=db) for db in (0, 1)]

    def __enter__(self) -> Changing:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def run(self) -> None:
        while not self.stopped.wait(0.002):
            for client in self._clients:
                client.set(f"key:{self.rounds * 7 % KEYS}", f"changed {self.rounds}")
                client.delete(f"key:{self.rounds * 11 % KEYS}")
                client.hincrby("counters", str(self.rounds % 50))
            self.rounds += 1

    def stop(self) -> None:
        self.stopped.set()
        self.join(30)


def test_the_new_server_is_marked_as_unfinished_still_when_it_was_compared(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    fill_both_databases(pair[0])

    async def compared(copy: Copy) -> None:
        assert (await copy.engine.verify(5.0)).differences == ()
        assert raw(pair[1]).get(MARKER).startswith(b"copying")

    assert copied(pair, at_rest=compared, verify="counts").differences == ()
    assert same(pair)


# -- the whole keyspace is compared before the pause


def test_all_keys_are_compared_although_they_change_all_the_time(pair: tuple[RedisServer, RedisServer]) -> None:
    fill_both_databases(pair[0])
    fill(raw(pair[0], db=2), False)
    with Changing(pair[0]) as changing:

        async def before(copy: Copy) -> None:
            assert (await copy.engine.progress()).compared >= KEYS
            await copy.sleep(0.3)

        async def held(copy: Copy) -> None:
            changing.stop()

        proof = copied(pair, before, held, verify="all")
    assert changing.rounds > 0 and proof.differences == ()
    assert proof.compared == proof.keys == sum(pair[0].client(db=db).dbsize() for db in range(3))
    assert same(pair)


def test_behind_the_fence_only_what_has_changed_since_is_compared(pair: tuple[RedisServer, RedisServer]) -> None:
    """So a change at the new server, which nobody tells, is seen of these only."""
    old, new = pair
    old.client().mset({f"key:{at}": "x" for at in range(KEYS)})

    async def held(copy: Copy) -> None:
        old.client().set("key:1", "changed")

    async def at_rest(copy: Copy) -> None:
        new.client().mset({"key:1": "spoilt", "key:2": "spoilt"})

    proof = copied(pair, held=held, at_rest=at_rest, verify="all")
    assert proof.differences == ("string key:1 in database 0: value",) and proof.compared == proof.keys


def test_keys_that_differ_end_the_copy_before_the_pause(pair: tuple[RedisServer, RedisServer]) -> None:
    old, new = pair
    old.client().mset({f"key:{at}": "x" for at in range(KEYS)})
    stopped = threading.Event()

    def spoil() -> None:
        while not stopped.wait(0.01):
            new.client().mset({f"strange:{at}": "x" for at in range(50)})

    spoiling = threading.Thread(target=spoil, daemon=True)
    spoiling.start()
    try:
        with pytest.raises(UplinkError, match=r"differs .* strange:\d+ in database 0: extra"):
            copied(pair, verify="all")
    finally:
        stopped.set()
        spoiling.join(30)


def test_times_to_live_that_are_set_while_keys_are_copied_without_any_arrive(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    """No key had one when the pass began, so that none is asked for its own."""
    old, new = pair
    client, later = old.client(), int(time.time() * 1000) + 3_600_000
    client.mset({f"key:{at}": "x" for at in range(20 * KEYS)})
    stopped = threading.Event()

    def expire() -> None:
        for at in range(20 * KEYS):
            if stopped.is_set():
                return
            client.pexpireat(f"key:{at * 7 % (20 * KEYS)}", later + at)

    expiring = threading.Thread(target=expire, daemon=True)

    async def held(copy: Copy) -> None:
        stopped.set()
        expiring.join(30)

    expiring.start()
    assert copied(pair, held=held).differences == ()
    keys = [f"key:{at}" for at in range(20 * KEYS)]
    times = [[_expiries(each, keys)] for each in (old, new)]
    assert times[0] == times[1] and old.client().info("keyspace")["db0"]["expires"] > 0


def _expiries(server: RedisServer, keys: list[str]) -> list[int]:
    pipeline = server.client().pipeline(transaction=False)
    for key in keys:
        pipeline.execute_command("PEXPIRETIME", key)
    expiries: list[int] = pipeline.execute()
    return expiries


def test_a_new_server_whose_user_may_not_mset_gets_everything(pair: tuple[RedisServer, RedisServer]) -> None:
    old, new = pair
    fill(raw(old), False)
    new.client().config_resetstat()
    new.client().acl_setuser("setter", enabled=True, passwords=["+secret"], commands=["+@all", "-mset"], keys=["*"])
    uplink = {**new.uplink, "user": "setter", "pass": "secret"}
    try:
        assert copied(pair, new_login=uplink).differences == () and same(pair)
    finally:
        new.client().acl_deluser("setter")
    assert "cmdstat_mset" not in {name for name, each in new.client().info("commandstats").items() if each["calls"]}


# -- commands that may change any key


def test_databases_that_are_swapped_after_the_copy_are_copied_again(pair: tuple[RedisServer, RedisServer]) -> None:
    fill_both_databases(pair[0])

    async def swap(copy: Copy) -> None:
        pair[0].client().swapdb(0, 1)
        await copy.engine.note((), (), True, False)

    proof = copied(pair, swap, verify="all")
    assert proof.differences == () and proof.compared == proof.keys and same(pair)


def test_databases_that_are_swapped_when_clients_are_held_are_copied_again_if_they_are_small(
    pair: tuple[RedisServer, RedisServer],
) -> None:
    fill_both_databases(pair[0])

    async def swap(copy: Copy) -> None:
        pair[0].client().swapdb(0, 1)
        await copy.engine.note((), (), True, False)

    assert copied(pair, held=swap, pause_budget_ms=60_000).differences == () and same(pair)
    pair[1].client().flushall()
    with pytest.raises(UplinkError, match="SWAPDB"):
        copied(pair, held=swap, pause_budget_ms=10)


# -- the connection that is told of changes is lost


def kill_feeds(server: RedisServer) -> int:
    """Kill the connections that are told of changes; how many there were."""
    client, killed = server.client(), 0
    for each in client.client_list():
        if "t" in each["flags"] or "P" in each["flags"]:
            killed += client.client_kill_filter(_id=each["id"])
    return killed


def test_the_feed_may_be_killed_again_and_again(pair: tuple[RedisServer, RedisServer]) -> None:
    fill_both_databases(pair[0])

    async def kill(copy: Copy) -> None:
        for _ in range(2):
            assert kill_feeds(pair[0])
            pair[0].client().set("a", "told by nobody")
            await copy.sleep(0.1)
            await copy.engine.near()

    async def held(copy: Copy) -> None:
        assert kill_feeds(pair[0])
        pair[0].client().set("a", "told by nobody, late")

    assert copied(pair, kill, held, pause_budget_ms=60_000).differences == () and same(pair)


@pytest.mark.parametrize(("budget_ms", "enough"), [(40, False), (60_000, True)])
def test_streams_for_which_there_is_no_time_are_told(
    pair: tuple[RedisServer, RedisServer], budget_ms: int, enough: bool
) -> None:
    streams = pair[0].client().pipeline(transaction=False)
    for at in range(3000):
        streams.xgroup_create(f"stream:{at}", "g", mkstream=True)
    streams.execute()
    rests: list[Rest] = []

    async def note(copy: Copy) -> None:
        rests.append(copy.rest)

    copied(pair, at_rest=note, pause_budget_ms=budget_ms)
    assert [each.all_streams for each in rests] == [enough]


def test_a_new_server_whose_user_may_not_unlink_is_refused_at_once(pair: tuple[RedisServer, RedisServer]) -> None:
    new = pair[1]
    new.client().acl_setuser("keeper", enabled=True, passwords=["+secret"], commands=["+@all", "-unlink"], keys=["*"])
    try:
        with pytest.raises(UplinkError, match=r"NOPERM .*unlink"):
            copied(pair, new_login={**new.uplink, "user": "keeper", "pass": "secret"})
    finally:
        new.client().acl_deluser("keeper")
