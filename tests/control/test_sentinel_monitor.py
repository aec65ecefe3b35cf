"""A switchover to a server that Sentinel does not know: the sentinels watch the new one afterwards, or the old one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import ensureDeferred

from redisproxy.config import TcpAddress
from redisproxy.control.errors import BadRequest, WrongState
from redisproxy.net.errors import UplinkUnavailable
from redisproxy.sentinel.finder import Finder
from redisproxy.switchover.watchers import Watchers
from tests.control.rig import Outcome
from tests.control.test_planned_failover import World
from tests.simulation.network import SimNetwork

NEW = "10.0.0.3:6379"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Sentinels that watch two servers; the third one is the new one."""
    world = World(tmp_path)
    third = world.rig.servers[2]
    third.promote()
    third.dbs = [{} for _ in third.dbs]
    yield world
    world.end()


def switch(world: World, monitor: bool = True, addr: str = NEW, **settings: Any) -> Outcome:
    document = {
        "uplink": {"addr": addr},
        "listen": {"addr": "10.9.9.9:7000"},
        "read_time_limit_ms": 0,
        "switchover": {"sentinel_monitor": monitor, "pause_budget_ms": 1000, **settings},
    }
    world.rig._path.write_text(json.dumps(document))
    outcome = Outcome(world.rig.operations.switchover(False))
    world.rig.advance(4)
    return outcome


def watched(world: World) -> list[str]:
    """Whom each sentinel watches."""
    return ["nobody" if each.removed else each.primary.name for each in world.group.sentinels]


def test_the_sentinels_watch_the_new_server_with_their_settings(world: World) -> None:
    outcome = switch(world)
    report = outcome.value["report"]
    assert report["result"] == "done" and world.used.name == NEW and watched(world) == [NEW] * 3
    assert "the sentinels watch 10.0.0.3:6379 now" in report["warnings"][-1]
    told = world.group.sentinels[1].told
    assert told[0] == "REMOVE mymaster" and "MONITOR mymaster 10.0.0.3 6379 2" in told
    assert "SET mymaster down-after-milliseconds 500" in told and "SET mymaster parallel-syncs 2" in told
    assert not any(each.errors or each.client.gone for each in world.clients)


def test_it_is_refused_with_the_reason_when_it_was_not_asked_for(world: World) -> None:
    outcome = switch(world, monitor=False)
    assert isinstance(outcome.error, BadRequest) and "switchover.sentinel_monitor" in str(outcome.error)
    assert watched(world) == ["10.0.0.1:6379"] * 3


def test_every_sentinel_has_to_be_there(world: World) -> None:
    world.group.sentinels[2].crash(60)
    outcome = switch(world)
    assert isinstance(outcome.error, BadRequest) and "every sentinel has to be told" in str(outcome.error)
    assert not any(each.told for each in world.group.sentinels)


def undone(world: World) -> None:
    """Everything is as before a switchover that was rolled back."""
    outcome = switch(world)
    assert isinstance(outcome.error, WrongState) and outcome.error.details["report"]["result"] == "rolled_back"
    assert world.used.name == "10.0.0.1:6379" and watched(world) == ["10.0.0.1:6379"] * 3
    told = world.group.sentinels[0].told
    assert "MONITOR mymaster 10.0.0.1 6379 2" in told and "SET mymaster down-after-milliseconds 500" in told
    world.rig.advance(1)
    assert not any(each.errors or each.client.gone for each in world.clients)


def test_they_watch_the_old_server_again_when_it_is_undone(world: World) -> None:
    world.rig.faults["bring"] = UplinkUnavailable("no")
    undone(world)
    world.rig.faults.clear()


def test_one_that_does_not_answer_has_it_undone(world: World) -> None:
    sentinel = world.group.sentinels[1]
    refused: list[Any] = []
    command = sentinel.command

    def once(connection: Any, args: list[bytes]) -> Any:
        if args[1:2] == [b"REMOVE"] and not refused:
            refused.append(args)
            connection.end.abortConnection()
        return command(connection, args)

    sentinel.command = once  # type: ignore[method-assign]
    undone(world)


def mended(world: World) -> tuple[list[str], list[str]]:
    """Who has noted how the sentinels watch the old server has them watch the one in use; what it tells, and whom."""
    configuration = world.rig.control.configuration
    finder = configuration.finder
    assert isinstance(finder, Finder)
    old = configuration.settings.uplink
    watchers = Watchers(finder, old, old.at(TcpAddress("10.0.0.3", 6379)), SimNetwork(world.rig.net))
    noting = Outcome(ensureDeferred(watchers.note()))
    world.rig.until(lambda: noting.deferred.called)
    world.group.sentinels[0].removed = world.group.sentinels[2].removed = True
    mending = Outcome(ensureDeferred(watchers.mend(old.at(TcpAddress("10.0.0.3", 6379)))))
    world.rig.until(lambda: mending.deferred.called)
    return mending.value, watched(world)


def test_those_that_watch_nobody_are_told_by_whoever_is_left(world: World) -> None:
    told, now = mended(world)
    assert now == [NEW, "10.0.0.1:6379", NEW] and len(told) == 2 and "watches 10.0.0.3:6379 now" in told[0]
    assert "SET mymaster down-after-milliseconds 500" in world.group.sentinels[2].told
    assert not world.group.sentinels[1].told


def test_one_that_was_not_there_is_left_to_the_operator(world: World) -> None:
    world.group.sentinels[2].crash(60)
    told, now = mended(world)
    assert now == [NEW, "10.0.0.1:6379", "nobody"] and len(told) == 1
