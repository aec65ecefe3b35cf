"""C{cmd=failover} in memory, with a model of Sentinel: nothing is lost and nobody dropped, whatever breaks and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater

from redisproxy.control.errors import BadRequest, OperationError, WrongState
from redisproxy.dataplane.interface import FAILOVER, SWITCHOVER
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.sentinel.answers import BEGINS
from redisproxy.servers.redis_server import RedisServer
from redisproxy.servers.state import ServerState
from redisproxy.switchover.sentinel_failover import SentinelFailover
from redisproxy.switchover.sentinel_group import SentinelGroup
from redisproxy.switchover.taken_back import Undoing
from tests.control.rig import Client, Outcome, Rig, same_process
from tests.simulation.redis import Server
from tests.simulation.sentinel import NAME, Sentinels

TIME_S = 2.5
SENTINELS = [f"10.0.2.{at}:26379" for at in range(1, 4)]
BUDGET_MS = 1000
BOUND_S = 7.0
"""The longest that a client may be held, whatever breaks: the budget, and what it takes to undo."""


class Counter:
    """A client that counts on a key of its own; its replies are a gapless sequence, unless a write was lost.

    @ivar pace_s: between a reply and the next command.
    @ivar errors: what it was answered instead. @ivar longest_s: how long it waited for a reply at most.
    """

    def __init__(self, rig: Rig, number: int) -> None:
        self._rig = rig
        self._key = f"counter:{number}"
        self.client = Client(rig)
        self.count = 0
        self.errors: list[bytes] = []
        self.longest_s = 0.0
        self.pace_s = 0.004
        self.ending = False
        self._seen = 0
        self._sent_at = 0.0
        self.client.dataReceived = self._received  # type: ignore[method-assign]
        self._send()

    def _send(self) -> None:
        if not self.ending and not self.client.gone:
            self._sent_at = self._rig.clock.seconds()
            self.client.send("INCR", self._key)

    def _received(self, data: bytes) -> None:
        self.client.got += data
        while (end := self.client.got.find(b"\r\n", self._seen)) >= 0:
            line, self._seen = self.client.got[self._seen : end], end + 2
            self.longest_s = max(self.longest_s, self._rig.clock.seconds() - self._sent_at)
            if line.startswith(b"-"):
                self.errors.append(line)
            else:
                self.count += 1
                assert line == b":%d" % self.count, f"a write was lost: {line!r} is not number {self.count}"
            self._rig.clock.at(self.pace_s, self._send)

    def kept_by(self, server: Server) -> bool:
        return int(server.dbs[0].get(self._key.encode(), b"0")) == self.count


class World:
    """A rig whose uplink three sentinels tell of, with three servers."""

    def __init__(self, folder: Path, seed: int = 1, clients: int = 2, **uplink: Any) -> None:
        uplink = {"sentinels": SENTINELS, "master_name": NAME, "sentinel_timeout_ms": 300, **uplink}
        settings = {"uplink": uplink, "switchover": {"pause_budget_ms": BUDGET_MS}}
        self.rig = rig = Rig(same_process, folder, **settings)
        rig.servers.append(Server("10.0.0.3:6379", rig.clock, Random(3), rig._find))
        rig.net.hosts["10.0.0.3:6379"] = rig.servers[2]
        self.group = Sentinels(rig.clock, rig.servers, Random(seed))
        rig.net.hosts |= {each.name: each for each in self.group.sentinels}
        for server in rig.servers[1:]:
            server.lag = 0.004
            server.follow("10.0.0.1", 6379)
        rig.advance(3)
        assert self.used is rig.servers[0]
        self.clients = [Counter(rig, number) for number in range(clients)]
        rig.advance(0.05)
        rig.orders.clear()

    @property
    def used(self) -> Server:
        """The server in use."""
        return self.rig.net.hosts[str(self.rig.local.in_force.settings.uplink.place)]

    def fail_over(self, dry_run: bool = False) -> Outcome:
        return Outcome(self.rig.operations.failover(dry_run))

    def after(self, number: int) -> None:
        """Let so much happen, or three seconds pass."""
        clock = self.rig.clock
        last = clock.events + number
        clock.run_until(clock.seconds() + 3, lambda: clock.events >= last)

    def settle(self) -> None:
        """Let everything come to rest; nobody was dropped, held for too long, or had a write lost."""
        self.rig.advance(TIME_S)
        for each in self.clients:
            each.pace_s = 0.2
        self.rig.advance(14)
        for each in self.clients:
            each.ending = True
        self.rig.advance(0.5)
        assert not any(each.client.gone for each in self.clients)
        assert max(each.longest_s for each in self.clients) < BOUND_S
        assert all(each.kept_by(self.used) for each in self.clients)
        assert self.rig.gate.open and self.used.repl.primary is None
        assert int(self.used.config["min-replicas-to-write"]) == 0

    def end(self) -> None:
        self.rig.end()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.end()


def test_a_replica_becomes_the_primary_and_nobody_notices(world: World) -> None:
    old = world.used
    outcome = world.fail_over()
    world.rig.advance(2)
    report = outcome.value["report"]
    assert report["result"] == "done" and report["kind"] == "failover" and report["warnings"] == []
    assert [each["name"] for each in report["steps"]] == [
        "preflight", "drain", "fence", "verify", "promote", "connect", "swap", "finish"
    ]  # fmt: skip
    assert world.used is not old and report["to"] == world.used.name and report["from"] == old.name
    assert report["new_offset"] >= report["old_offset"] and report["clients_closed"] == {}
    assert old.repl.primary is world.used and old.config["min-replicas-to-write"] == "0"
    world.settle()
    assert not any(each.errors for each in world.clients)
    assert world.rig.control.metrics.switchovers_total == 1
    again = world.fail_over()
    world.rig.advance(2)
    assert again.value["report"]["result"] == "done"


def test_a_dry_run_changes_nothing(world: World) -> None:
    outcome = world.fail_over(dry_run=True)
    world.rig.advance(1)
    assert outcome.value["report"]["result"] == "dry_run" and "failover" not in str(world.rig.orders)
    assert world.used is world.rig.servers[0] and not world.group.sentinels[0].failing
    world.settle()


def test_what_stands_in_the_way_is_said_and_nothing_is_changed(world: World) -> None:
    def refused() -> str:
        outcome = world.fail_over()
        world.rig.advance(2)
        assert isinstance(outcome.error, BadRequest) and "hold switchover" not in world.rig.orders
        return str(outcome.error)

    world.rig.servers[2].lose_primary()
    assert "10.0.0.3:6379 is not in step" in refused()
    world.rig.advance(1)
    world.group.sentinels[1].begin()
    assert "a failover is under way already" in refused()
    world.rig.advance(20)
    world.group.sentinels[1].epoch += 1
    world.group.sentinels[1].primary = next(each for each in world.rig.servers if each is not world.used)
    assert "takes 10.0." in refused()


def test_without_sentinel_it_says_what_to_do(tmp_path: Path) -> None:
    rig = Rig(same_process, tmp_path)
    outcome = Outcome(rig.operations.failover(False))
    rig.advance(0.1)
    assert isinstance(outcome.error, BadRequest) and "no Sentinel watches 10.0.0.1:6379" in str(outcome.error)
    rig.end()


def test_a_replica_that_lags_is_waited_for_or_it_is_undone(world: World) -> None:
    world.rig.servers[2].repl.last_arrival = world.rig.clock.seconds() + 0.3
    for each in world.rig.servers[1:]:
        each.lag = 0.05
    outcome = world.fail_over()
    world.rig.advance(2)
    assert outcome.value["report"]["result"] == "done"
    world.settle()
    slow = next(each for each in world.rig.servers if each is not world.used)
    slow.repl.last_arrival = world.rig.clock.seconds() + 3
    world.clients.append(Counter(world.rig, 99))
    world.rig.advance(0.01)
    outcome = world.fail_over()
    world.rig.advance(3)
    assert "at the step verify" in str(outcome.error) and not any(each.failing for each in world.group.sentinels)
    world.settle()


def test_a_replica_that_the_other_sentinels_demote_again_is_not_gone_to(world: World) -> None:
    """The one that had promoted it has died before it could tell them; the primary must not be made to follow it."""
    rig, primary = world.rig, world.used
    rig.held_up["connect"] = held_up = Deferred[None]()
    outcome = world.fail_over()
    rig.until(lambda: any(each.repl.primary is None for each in rig.servers if each is not primary))
    rig.until(lambda: "connect" in rig.orders)
    world.group.sentinels[0].crash(2)
    for each in rig.servers[1:]:
        each.follow("10.0.0.1", 6379)
    rig.held_up.pop("connect")
    held_up.callback(None)
    rig.advance(10)
    assert isinstance(outcome.error, OperationError) and "is a replica again" in str(outcome.error)
    assert outcome.error.details["report"]["result"] == "rolled_back"
    assert world.used is primary and primary.repl.primary is None and primary.config["min-replicas-to-write"] == "0"
    world.settle()


@pytest.mark.parametrize("lifts", [True, False])
def test_a_primary_that_can_not_be_reached_holds_nobody_for_long_and_others_lift_its_fence(
    world: World, lifts: bool
) -> None:
    rig, asked = world.rig, list[bool]()
    primary = world.used

    async def lift_fence() -> bool:
        asked.append(rig.gate.open)
        if lifts:
            primary.config["min-replicas-to-write"] = "0"
        return lifts

    async def unanswered(server: RedisServer, state: ServerState) -> None:
        await deferLater(rig.clock, 3)
        raise UplinkUnavailable("no answer within 3 s")

    rig.control.failover.others.lift_fence = lift_fence  # type: ignore[method-assign]
    with patch.object(SentinelFailover, "_verify", lambda self: Deferred()):
        outcome = world.fail_over()
        rig.until(lambda: primary.config["min-replicas-to-write"] != "0")
        with patch.object(RedisServer, "unfence", unanswered):
            rig.advance(2 * BUDGET_MS / 1000 + 0.1)
            assert asked == [False] and rig.gate.open
            assert any(each.errors for each in world.clients) is not lifts
            rig.advance(15)
    assert ("may still refuse writes" in str(outcome.error)) is not lifts
    primary.config["min-replicas-to-write"] = "0"
    world.settle()


# -- whatever breaks, and when


def abort(world: World) -> None:
    """An operator aborts it."""
    Outcome(world.rig.operations.switchover_abort())


def kill_sentinel(world: World) -> None:
    """The sentinel that has the order, or will have it, dies for a while."""
    world.group.sentinels[0].crash(2)


def kill_expected_replica(world: World) -> None:
    """A replica dies for a while, unless clients are there already."""
    if world.used is not world.rig.servers[1]:
        world.rig.servers[1].crash(1)


def kill_other_replica(world: World) -> None:
    """The other one."""
    if world.used is not world.rig.servers[2]:
        world.rig.servers[2].crash(1)


def hang_replica(world: World) -> None:
    """A replica stands still for longer than the budget, and clients wait for it if they are there already."""
    world.rig.servers[1].hang(1.5)


def cut_replication(world: World) -> None:
    """Nothing gets from the primary to the replicas for a while."""
    world.rig.servers[0].link_broken = True
    world.rig.clock.at(1.5, setattr, world.rig.servers[0], "link_broken", False)


def slow_down(world: World) -> None:
    """The sentinels take much longer for each step of a failover."""
    world.group.tick_s = 2.0


FAULTS = [slow_down, abort, kill_sentinel, kill_expected_replica, kill_other_replica, hang_replica, cut_replication]


def disturbed(folder: Path, seed: int, number: int, fault: Callable[[World], None]) -> tuple[World, Outcome, bool]:
    """A failover in which something breaks when so much has happened; whether it was still running then."""
    world = World(folder, seed)
    outcome = world.fail_over()
    world.after(number)
    running = not outcome.deferred.called
    fault(world)
    world.settle()
    world.end()
    return world, outcome, running


@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: each.__name__)
def test_whatever_breaks_at_any_moment_no_write_is_lost(tmp_path: Path, fault: Callable[[World], None]) -> None:
    done = undone = 0
    for number in range(0, 2000, STEP):
        _, outcome, running = disturbed(tmp_path, number, number, fault)
        done += outcome.error is None
        undone += outcome.error is not None
        if not running:
            break
    assert not running and done


STEP = 40
"""So much happens between two moments at which something breaks; by hand also every single one."""


def test_the_proxy_may_end_at_any_moment(tmp_path: Path) -> None:
    """The clients go with it; the primary takes writes afterwards, and has them all."""
    for number in range(0, 1200, 2 * STEP):
        world = World(tmp_path, number)
        world.fail_over()
        world.after(number)
        stopping = world.rig.stop()
        world.rig.advance(20)
        assert stopping.deferred.called
        (primary,) = [each for each in world.rig.servers if each.repl.primary is None]
        assert primary.config["min-replicas-to-write"] == "0"
        assert all(each.kept_by(primary) for each in world.clients)
        world.end()


# -- planted faults are found


@contextmanager
def _released_before_the_replicas_have_everything() -> Iterator[None]:
    with patch.object(SentinelFailover, "_verify", lambda self: succeed(None)):
        yield


@contextmanager
def _goes_to_a_replica_that_was_not_promoted() -> Iterator[None]:
    async def promoted(self: SentinelGroup) -> Any:
        address = self.candidates[0]
        return address, (await self.states())[address]

    unseen = patch.object(SentinelFailover, "_require_promoted", lambda self, address: succeed(None))
    with patch.object(SentinelGroup, "promoted", promoted), unseen:
        yield


@contextmanager
def _follows_sentinels_back_to_the_fenced_one() -> Iterator[None]:
    with ExitStack() as patches:
        patches.enter_context(patch("redisproxy.sentinel.finder.is_fenced", lambda _: False))
        patches.enter_context(
            patch("redisproxy.switchover.former_primary.FormerPrimary.follow", lambda *_: succeed(None))
        )
        patches.enter_context(
            patch("redisproxy.switchover.former_primary.FormerPrimary.finish", lambda *_: succeed(None))
        )
        yield


@contextmanager
def _takes_nothing_back() -> Iterator[None]:
    """The primary takes writes again although a replica may be promoted yet."""

    async def take_back_order(self: Undoing) -> None:
        self.order_taken_back = True

    with patch.object(Undoing, "take_back_order", take_back_order):
        yield


PLANTED = [
    (_released_before_the_replicas_have_everything, lambda world: setattr(world.rig.servers[0], "lag", 0.5)),
    (_goes_to_a_replica_that_was_not_promoted, lambda world: None),
    (_follows_sentinels_back_to_the_fenced_one, lambda world: None),
    (_takes_nothing_back, slow_down),
]


def faults_found(folder: Path, fault: Callable[[World], object], seeds: int) -> int:
    """In how many runs something was wrong, at most one."""
    for seed in range(seeds):
        try:
            world = World(folder, seed, sentinel_poll_ms=100)
            fault(world)
            world.rig.advance(0.02)
            outcome = world.fail_over()
            world.settle()
            assert outcome.deferred.called and not any(each.errors for each in world.clients)
        except (AssertionError, WrongState):
            return 1
    return 0


@pytest.mark.parametrize("plant", PLANTED, ids=lambda each: each[0].__name__)
def test_a_planted_fault_is_found(tmp_path: Path, plant: Any) -> None:
    bug, fault = plant
    assert not faults_found(tmp_path, fault, 3)
    with bug():
        assert faults_found(tmp_path, fault, 12)


def dies_when_promoted(server: Server, promoted: list[Server]) -> None:
    original = server.promote

    def promote() -> None:
        original()
        promoted.append(server)
        server.clock.at(0.0005, server.crash, 1.0)

    server.promote = promote  # type: ignore[method-assign]


def test_a_replica_that_dies_when_it_was_promoted_is_not_taken_for_one(tmp_path: Path) -> None:
    """The proxy can't ask it any more, but a sentinel may have heard of the promotion, and leads others there."""
    for seed in range(4):
        world, promoted = World(tmp_path, seed), list[Server]()
        for server in world.rig.servers[1:]:
            dies_when_promoted(server, promoted)
        outcome = world.fail_over()
        world.settle()
        heard = any(each.primary in promoted for each in world.group.sentinels)
        assert promoted and outcome.deferred.called and (world.used in promoted) == heard
        world.end()


def test_a_failover_of_somebody_else_that_begins_meanwhile_is_waited_for_when_this_one_is_undone(world: World) -> None:
    """The old primary would take writes until the news of the promotion, and they would be lost with it."""
    control = world.rig.control
    hold, follower = control.follower.hold, control.follower
    outcome = world.fail_over()
    world.rig.clock.run_until(world.rig.clock.seconds() + 3, lambda: hold.suspended)
    assert world.rig.gate.reasons == {SWITCHOVER}
    follower._happened(follower._subscriptions[0]._sentinel, BEGINS)
    aborted = Outcome(world.rig.operations.switchover_abort())
    world.rig.clock.run_until(world.rig.clock.seconds() + 2, lambda: aborted.deferred.called)
    assert world.rig.gate.reasons == {FAILOVER}
    assert isinstance(outcome.error, OperationError)
    world.settle()
