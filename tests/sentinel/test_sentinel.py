"""Finding the primary through sentinels and following it, in memory on a Clock."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from redisproxy.config import TcpAddress, Undiscovered
from redisproxy.net.errors import UplinkError, UplinkUnavailable
from redisproxy.sentinel.answers import Outdated, Said, candidates, concerns, epoch_of, is_primary, primary_of, settled
from redisproxy.sentinel.backoff import Backoff
from tests.sentinel.world import NAME, NEW, OLD, PeerTransport, World, bulk


@pytest.fixture
def logged() -> Iterator[list[dict[str, Any]]]:
    """Everything that is logged."""
    events: list[dict[str, Any]] = []
    observer: Any = events.append
    globalLogPublisher.addObserver(observer)
    yield events
    globalLogPublisher.removeObserver(observer)


@pytest.fixture
def world(logged: list[dict[str, Any]], tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.control.follower.stop()
    world.turn()
    assert not any("log_failure" in event for event in logged)
    assert world.clock.getDelayedCalls() == []
    assert not any(peer.connections for peer in world.network.peers.values())


@pytest.fixture
def following(world: World) -> World:
    world.start()
    assert world.server == OLD
    world.events.clear()
    return world


def outcome(coroutine: Any, world: World) -> Any:
    """What a coroutine comes to when time passes."""
    results: list[Any] = []
    ensureDeferred(coroutine).addBoth(results.append)
    world.advance(10)
    return getattr(results[0], "value", results[0])


# -- following


def test_the_primary_is_found_at_the_start_and_that_is_no_switch(world: World) -> None:
    assert world.server == Undiscovered(NAME, 0)
    world.start()
    assert world.events == [f"prepare {OLD}", "closed", f"swap {OLD}"] and world.gate.open
    assert world.control.metrics.sentinel_switches_total == 0 and world.finder.error == ""
    assert all(sentinel.subscribed for sentinel in world.finder.sentinels)
    assert "ROLE" in world.old.asked


def test_a_switch_is_followed_at_once_with_a_pause(following: World) -> None:
    following.sentinels[1].switch(NEW, 1)
    following.turn()
    following.clock.advance(0.06)
    following.turn()
    assert following.events == [f"prepare {NEW}", "closed", f"swap {NEW}"] and following.gate.open
    assert following.control.metrics.sentinel_switches_total == 1 and following.control.results.reload == {}
    last = following.finder.describe()["last_switch"]
    assert (last["from"], last["to"], last["dropped"]) == (str(OLD), str(NEW), [])


def test_a_promotion_is_followed_before_the_switch_is_told(following: World) -> None:
    following.sentinels[2].primary, following.sentinels[2].epoch = NEW, 1
    following.sentinels[2].publish(f"slave {NEW} 10.0.0.2 6379 @ {NAME} 10.0.0.1 6379", "+promoted-slave")
    following.advance(0.1)
    assert following.server == NEW


def begin_failover(world: World) -> None:
    world.sentinels[1].publish(f"master {NAME} 10.0.0.1 6379", "+failover-state-select-slave")
    world.turn()


def test_clients_are_held_while_a_failover_is_under_way(following: World) -> None:
    begin_failover(following)
    assert following.gate.reasons == {"failover"} and following.events == ["closed"]
    following.advance(1)
    assert not following.gate.open
    following.sentinels[1].switch(NEW, 1)
    following.advance(0.2)
    assert following.server == NEW and following.gate.open
    assert 1000 <= following.finder.last_switch["pause_ms"] < 1300
    following.advance(3)
    assert following.gate.open


def test_a_failover_that_does_not_end_holds_nobody_for_longer_than_allowed(following: World) -> None:
    begin_failover(following)
    following.advance(1.5)
    begin_failover(following)
    assert not following.gate.open
    following.advance(0.6)
    assert following.gate.open and following.server == OLD


def test_a_failover_that_is_given_up_lets_the_clients_go_on(following: World) -> None:
    begin_failover(following)
    following.sentinels[1].publish(f"master {NAME} 10.0.0.1 6379", "-failover-abort-no-good-slave")
    following.turn()
    assert following.gate.open


def test_stopping_or_other_sentinels_end_the_hold(following: World) -> None:
    begin_failover(following)
    following.configuration.finder = None
    following.tick()
    assert following.gate.open


def test_nobody_is_held_when_that_is_switched_off(following: World) -> None:
    following.configuration.finder = following.new_finder(following.configured(sentinel_hold_ms=0))
    following.advance(0.3)
    begin_failover(following)
    assert following.gate.open


def test_events_about_other_primaries_are_no_reason_to_look(following: World) -> None:
    before = [sentinel.queries for sentinel in following.sentinels]
    following.sentinels[0].publish("another 10.0.0.1 6379 10.0.0.2 6379")
    following.advance(0.3)
    assert [sentinel.queries for sentinel in following.sentinels] == before


def test_a_switch_whose_event_was_missed_is_found_by_polling(following: World) -> None:
    for sentinel in following.sentinels:
        sentinel.primary, sentinel.epoch = NEW, 1
    following.advance(2.2)
    assert following.server == NEW


def test_the_loss_of_the_uplink_is_a_reason_to_look(following: World) -> None:
    for sentinel in following.sentinels:
        sentinel.primary, sentinel.epoch = NEW, 1
    following.dataplane.is_connected = False
    following.advance(0.2)
    assert following.server == NEW


def test_a_server_that_says_it_is_a_replica_is_not_taken(following: World) -> None:
    following.new.role = "slave"
    following.sentinels[0].switch(NEW, 1)
    following.advance(0.3)
    assert following.server == OLD and following.events == []
    assert "still a replica" in following.finder.error
    asked = following.new.asked.count("ROLE")
    following.advance(20)
    assert 5 < following.new.asked.count("ROLE") - asked < 25
    following.new.role = "master"
    following.advance(2.2)
    assert following.server == NEW and following.finder.error == ""


def test_a_server_that_does_not_allow_role_may_tell_by_info(following: World) -> None:
    following.new.answers["ROLE"] = b"-NOPERM this user has no permissions\r\n"
    following.new.role = "slave"
    following.sentinels[0].switch(NEW, 1)
    following.advance(0.3)
    assert following.server == OLD
    following.new.role = "master"
    following.advance(2.2)
    assert following.server == NEW


def test_sentinels_that_have_not_heard_of_the_switch_lead_nobody_back(following: World) -> None:
    following.sentinels[2].switch(NEW, 1)
    following.advance(0.2)
    assert following.server == NEW
    following.advance(5)
    assert following.server == NEW and following.control.metrics.sentinel_switches_total == 1
    following.network.peers.pop(following.places[2])
    following.sentinels[2].listeners[-1].lose()
    following.advance(5)
    assert following.server == NEW and "a change 1" in following.finder.error
    for sentinel in following.sentinels[:2]:
        sentinel.primary, sentinel.epoch = NEW, 1
    following.advance(2.2)
    assert following.server == NEW and following.finder.error == ""


def test_what_is_the_matter_with_sentinels_is_logged_once(following: World, logged: list[dict[str, Any]]) -> None:
    following.sentinels[0].where = b"*-1\r\n"
    following.sentinels[1].switch(NEW, 1)
    following.network.peers.pop(following.places[2])
    following.sentinels[2].listeners[0].lose()
    following.advance(10)
    following.sentinels[0].where = None
    following.advance(10)
    texts = [formatEvent(event) or "" for event in logged if event.get("log_level") is LogLevel.warn]
    assert [text for text in texts if "disagree" in text] == [
        f"{NAME}: the sentinels disagree: {OLD} (change 0) or {NEW} (change 1)"
    ]
    assert [text for text in texts if "knows no primary" in text] == [
        f"sentinel {following.places[0]}: it knows no primary called {NAME}"
    ]
    assert sum(f"sentinel {following.places[2]}: Connection was refused" in text for text in texts) == 2


def test_sentinels_that_were_all_set_up_anew_are_believed(following: World) -> None:
    for sentinel in following.sentinels:
        sentinel.switch(NEW, 7)
    following.advance(0.3)
    for sentinel in following.sentinels:
        sentinel.primary, sentinel.epoch = OLD, 0
    following.advance(2.2)
    assert following.server == OLD


def test_a_reload_that_runs_is_waited_for_and_the_switch_is_not_lost(following: World) -> None:
    following.dataplane.move.connecting = connecting = Deferred[None]()
    following.control.operations.reload()
    following.advance(0.1)
    following.sentinels[0].switch(NEW, 1)
    following.advance(1)
    assert following.server == OLD and "a reload is running already" in following.finder.error
    following.dataplane.move.connecting = succeed(None)
    connecting.callback(None)
    following.advance(2)
    assert following.server == NEW and following.gate.open


def test_a_reload_during_a_failover_is_refused(following: World) -> None:
    following.gate.admit(1)
    following.sentinels[0].switch(NEW, 1)
    following.advance(0.2)
    assert following.gate.reasons == {"failover"}
    refused: list[Any] = []
    following.control.operations.reload().addErrback(refused.append)
    assert str(refused[0].value) == "a failover is running already"
    following.gate.release(1)
    following.advance(0.1)
    assert following.server == NEW


def test_what_is_in_flight_at_a_hanging_server_is_dropped_at_the_deadline(following: World) -> None:
    following.gate.admit(2)
    following.sentinels[0].switch(NEW, 1)
    following.advance(4.8)
    assert following.server == OLD
    following.advance(0.5)
    assert following.server == NEW and [each["id"] for each in following.finder.last_switch["dropped"]] == [0, 1]


def test_a_proxy_that_an_operator_paused_takes_the_address_and_stays_paused(following: World) -> None:
    following.control.operations.pause()
    following.sentinels[0].switch(NEW, 1)
    following.advance(0.3)
    assert following.server == NEW and following.gate.reasons == {"operator"}


def test_a_new_primary_that_refuses_the_proxy_is_tried_again(following: World) -> None:
    following.dataplane.move.trouble = [UplinkUnavailable("no"), UplinkUnavailable("no")]
    following.sentinels[0].switch(NEW, 1)
    following.advance(0.1)
    assert following.server == OLD and following.gate.open
    following.advance(1)
    assert following.server == NEW and following.events.count(f"prepare {NEW}") == 3


def test_the_old_primary_that_comes_back_as_a_replica_changes_nothing(following: World) -> None:
    following.network.peers.pop(OLD)
    for sentinel in following.sentinels:
        sentinel.switch(NEW, 1)
    following.advance(0.3)
    following.old.role = "slave"
    following.network.peers[OLD] = following.old
    for sentinel in following.sentinels:
        sentinel.publish(f"slave {OLD} 10.0.0.1 6379 @ {NAME} 10.0.0.2 6379", "+promoted-slave")
    following.advance(5)
    assert following.server == NEW and following.control.metrics.sentinel_switches_total == 1


def test_other_sentinels_in_the_configuration_are_taken_up(following: World) -> None:
    settings = following.configured(sentinels=[str(following.places[0])])
    following.configuration.finder = following.new_finder(settings, following.finder)
    following.advance(0.3)
    assert [len(peer.connections) for peer in following.sentinels] == [1, 0, 0]
    following.configuration.finder = None
    following.advance(0.3)
    assert [len(peer.connections) for peer in following.sentinels] == [0, 0, 0]
    asked = len(following.sentinels[0].asked)
    following.advance(5)
    assert len(following.sentinels[0].asked) == asked


def test_what_the_sentinels_before_a_reload_said_is_no_reason_to_move(following: World) -> None:
    following.new.silent = True
    following.sentinels[0].switch(NEW, 1)
    following.turn()
    following.configuration.finder = following.new_finder(following.configured(master_name="other"))
    following.new.connections[0].arrive(bulk("master") * 3)
    following.turn()
    assert not following.new.connections
    assert following.server == OLD and following.events == []


def test_a_look_that_began_at_another_server_leads_nobody_back_there(following: World) -> None:
    """What was in use then was not asked for its role."""
    finder, find, found = following.finder, following.finder.find, Deferred[TcpAddress]()

    async def slow(current: Any = None, first: Any = None) -> TcpAddress:
        finder.find = find  # type: ignore[method-assign]
        return await found

    finder.find = slow  # type: ignore[method-assign]
    following.control.follower.look()
    following.configuration.take(following.configuration.of_primary_at(NEW))
    for sentinel in following.sentinels:
        sentinel.primary, sentinel.epoch = NEW, 1
    following.turn()
    found.callback(OLD)
    following.advance(0.5)
    assert following.server == NEW and following.events == []


def test_a_flood_of_events_makes_it_ask_within_bounds(following: World) -> None:
    before = following.sentinels[0].queries
    for _ in range(100):
        for _ in range(10):
            following.sentinels[0].publish(f"{NAME} 10.0.0.1 6379 10.0.0.1 6379")
        following.clock.advance(0.01)
        following.turn()
    assert 10 < following.sentinels[0].queries - before < 30


def test_stopping_in_the_middle_leaves_nothing_behind(world: World) -> None:
    for sentinel in world.sentinels:
        sentinel.silent = True
    world.tick()
    world.advance(0.5)
    world.control.follower.stop()
    world.tick()
    world.turn()
    assert world.clock.getDelayedCalls() == []


# -- sentinels that fail


def test_a_sentinel_that_is_gone_is_tried_again_ever_more_rarely(world: World) -> None:
    world.network.peers.pop(world.places[0])
    world.start()
    assert world.server == OLD and "refused" in world.finder.describe()["sentinels"][0]["error"]
    world.advance(10)
    attempts = world.network.attempts.count(world.places[0])
    world.advance(10)
    assert 3 < world.network.attempts.count(world.places[0]) - attempts < 8
    world.network.peers[world.places[0]] = world.sentinels[0]
    world.advance(2.2)
    assert world.finder.sentinels[0].subscribed


def test_a_sentinel_that_is_silent_holds_nobody_up_for_long(world: World) -> None:
    world.sentinels[0].silent = True
    world.start()
    world.advance(1)
    assert world.server == OLD and "no answer within 1 s" in world.finder.sentinels[0].error


def test_no_sentinel_at_all_is_told_and_retried(world: World) -> None:
    peers, world.network.peers = world.network.peers, {}
    world.start()
    world.advance(5)
    assert isinstance(world.server, Undiscovered) and world.finder.error.count("refused") == 3
    world.network.peers = peers
    world.advance(2.2)
    assert world.server == OLD


def test_an_event_connection_that_is_lost_is_opened_again(following: World) -> None:
    following.sentinels[0].listeners[-1].lose()
    following.turn()
    assert not following.finder.sentinels[0].subscribed
    following.advance(0.3)
    assert following.finder.sentinels[0].subscribed and len(following.sentinels[0].listeners) == 2


def test_a_sentinel_that_closes_every_event_connection_is_not_hammered(following: World) -> None:
    for _ in range(100):
        for transport in following.sentinels[0].listeners:
            transport.lose()
        following.advance(0.1)
    assert len(following.sentinels[0].listeners) < 20


def test_a_sentinel_that_lets_nobody_subscribe_is_asked_all_the_same(world: World) -> None:
    world.sentinels[0].deaf = b"-NOPERM no\r\n"
    world.start()
    shown = world.finder.describe()["sentinels"][0]
    assert world.server == OLD and not shown["subscribed"] and "NOPERM" in shown["error"]


NONSENSE = [
    b"*-1\r\n",
    b"-ERR no\r\n",
    b":7\r\n",
    b"*0\r\n",
    b"$-1\r\n",
    b"+\r\n",
    bulk("host"),
    bulk("a b", "1"),
    bulk("", "6379"),
    bulk("10.0.0.2", "0"),
    bulk("10.0.0.2", "99999999999999999999"),
    bulk("10.0.0.2", "6379", "x"),
    bulk("h" * 300, "6379"),
    bulk("ü", "6379"),
    bulk("::zz", "6379"),
    b"*2\r\n*0\r\n*0\r\n",
    b"*2\r\n*-1\r\n:1\r\n",
    b"*2\r\n$4\r\n\xff\xfe\0\r\r\n$1\r\n1\r\n",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\0" * 100,
    b"*99999999999\r\n",
    b"$99999999999999999999999\r\n",
    b"*1\r\n" * 5000,
    b"%1\r\n*0\r\n:1\r\n",
    b"$300000\r\n" + b"x" * 300000 + b"\r\n",
]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda each: repr(each[:24]))
def test_nonsense_of_one_sentinel_is_noted_and_the_others_suffice(world: World, nonsense: bytes) -> None:
    world.sentinels[0].where = nonsense
    world.start()
    world.advance(2)
    assert world.server == OLD and world.finder.sentinels[0].error and world.finder.error == ""


@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda each: repr(each[:24]))
def test_nonsense_instead_of_events_ends_that_connection_at_most(following: World, nonsense: bytes) -> None:
    for _ in range(5):
        following.sentinels[0].listeners[-1].arrive(nonsense)
        following.advance(0.5)
    following.sentinels[1].switch(NEW, 1)
    following.advance(0.3)
    assert following.server == NEW


@pytest.mark.parametrize("nonsense", NONSENSE, ids=lambda each: repr(each[:24]))
def test_nonsense_of_the_server_that_they_name_is_no_reason_to_go_there(following: World, nonsense: bytes) -> None:
    following.new.answers = {"ROLE": nonsense, "INFO": nonsense}
    following.sentinels[0].switch(NEW, 1)
    following.advance(1)
    assert following.server == OLD and following.finder.error


def test_endless_events_of_no_kind_are_bounded(following: World) -> None:
    listener: PeerTransport = following.sentinels[0].listeners[-1]
    for _ in range(40):
        listener.arrive(b"+OK\r\n" * 2000)
        following.turn()
    assert listener.gone


def test_the_proxy_itself_is_no_primary(world: World) -> None:
    for sentinel in world.sentinels:
        sentinel.primary = TcpAddress("10.0.0.9", 7010)
    world.start()
    assert isinstance(world.server, Undiscovered) and "the proxy itself listens" in world.finder.error


def test_a_primary_that_nobody_knows_is_told(world: World) -> None:
    world.configuration.finder = world.new_finder(world.configured(master_name="other"))
    told = str(outcome(world.finder.find(), world))
    assert "knows no primary called other" in told and "They watch nobody: if a switchover" in told


def test_passwords_are_for_those_they_belong_to(world: World) -> None:
    keys = {"sentinel_user": "watcher", "sentinel_pass": "one", "user": "app", "pass": "two"}
    for sentinel in world.sentinels:
        sentinel.asked.clear()
    finder = world.new_finder(world.configured(**keys))
    with contextlib.suppress(UplinkError):
        outcome(finder.find(), world)
    assert world.sentinels[0].asked[0] == "AUTH watcher one"
    assert not any("two" in each for each in world.sentinels[0].asked)


def test_the_server_gets_its_own_password(world: World) -> None:
    finder = world.new_finder(world.configured(user="app", **{"pass": "two"}))
    assert outcome(finder.find(), world) == OLD and world.old.asked[0] == "AUTH app two"


# -- who is right


def said(*pairs: tuple[TcpAddress, int]) -> list[Said]:
    return [Said(*pair) for pair in pairs]


def test_who_knows_of_the_latest_change_is_right_before_the_most_votes() -> None:
    assert candidates(said((OLD, 1), (OLD, 1), (NEW, 2)), 3, 1, OLD) == [NEW]
    assert candidates(said((OLD, 0), (NEW, 0), (NEW, 0)), 3, 0, OLD) == [NEW, OLD]
    assert candidates(said((NEW, 0), (OLD, 0)), 3, 0, OLD) == [OLD, NEW]


def test_less_than_was_known_is_believed_only_of_all() -> None:
    for few in (said((OLD, 1)), said((OLD, 1), (OLD, 1)), said((OLD, 1), (OLD, 1), (NEW, 1))):
        with pytest.raises(Outdated):
            candidates(few, 3, 2, NEW)
    assert candidates(said((OLD, 1), (OLD, 0), (OLD, 1)), 3, 2, NEW) == [OLD]


def test_most_of_all_are_enough_unless_they_know_too_little() -> None:
    assert settled(said((OLD, 1), (OLD, 1)), 3, 1) and settled(said((OLD, 0)), 1, 0)
    assert not settled(said((OLD, 1)), 3, 1) and not settled([], 1, 0)
    assert not settled(said((OLD, 1), (OLD, 1)), 3, 2) and not settled(said((OLD, 1), (NEW, 2)), 3, 1)


def test_addresses() -> None:
    assert primary_of([b"10.0.0.1", b"6379"], NAME) == OLD
    assert primary_of([b"::1", b"1"], NAME) == TcpAddress("::1", 1)
    assert primary_of([b"redis.internal", b"1"], NAME) == TcpAddress("redis.internal", 1)


def test_epochs_and_roles() -> None:
    assert epoch_of([b"name", b"m", b"config-epoch", b"12"]) == 12
    odd: list[Any] = [None, [b"config-epoch"], [b"config-epoch", b"-1"], [[], {}], 7]
    assert [epoch_of(each) for each in odd] == [0] * 5
    assert is_primary([b"master", 7, []], None) is True and is_primary([b"slave"], None) is False
    assert is_primary(ValueError(), b"# R\r\nrole:master\r\n") is True and is_primary(None, b"x") is None
    assert concerns(b"mymaster a 1 b 2", NAME) and not concerns(b"mymaster2 a 1 b 2", NAME) and not concerns(7, NAME)


VALUES = st.recursive(
    st.none() | st.integers() | st.binary(max_size=40) | st.just(Exception()), lambda inner: st.lists(inner, max_size=6)
)


@given(VALUES)
def test_whatever_is_answered_is_read_or_refused(value: Any) -> None:
    with contextlib.suppress(UplinkError):
        primary_of(value, NAME)
    assert 0 <= epoch_of(value) < 1 << 64
    assert is_primary(value, value) in (True, False, None)


def test_the_wait_doubles_up_to_a_bound_and_begins_again() -> None:
    backoff = Backoff(0.1, 1.0, lambda low, high: high)
    assert [backoff.next_s() for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    backoff.lasted(0.5)
    assert backoff.next_s() == 1.0
    backoff.lasted(1.5)
    assert backoff.next_s() == 0.1
