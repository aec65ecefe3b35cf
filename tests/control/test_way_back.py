"""The way back in memory: there and back, interrupted at every moment, by itself, and what no reload may do then."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from redisproxy.control.errors import BadRequest, WrongState
from redisproxy.dataplane.interface import DataPlaneLost
from redisproxy.servers.fence import is_fence
from tests.control.rig import Outcome, Rig
from tests.control.test_switchover import TIME_S, switch
from tests.simulation.redis import Server

MakeRig = Callable[..., Rig]
WATCH = {"keep_way_back": True, "watch_ms": 3000, "watch_errors": 10, "watch_latency_ms": 200}


def back(rig: Rig, dry_run: bool = False) -> Outcome:
    return Outcome(rig.operations.switchover(dry_run, back=True))


def is_fenced(server: Server) -> bool:
    return is_fence(int(server.config["min-replicas-to-write"]))


def stands_by(replica: Server, primary: Server) -> bool:
    """Whether it follows, behind its fence."""
    return replica.repl.primary is primary and replica.repl.link_up and is_fenced(replica) and not is_fenced(primary)


def moved(make_rig: MakeRig, **settings: Any) -> Rig:
    """A rig that has switched over to the second server, with a way back."""
    rig = make_rig(switchover={"keep_way_back": True, **settings})
    outcome = switch(rig, keep_way_back=True, **settings)
    rig.until(lambda: outcome.deferred.called)
    assert outcome.value["report"]["way_back"]["follows"] and rig.server == rig.servers[1].name
    return rig


def test_there_and_back_again_and_again(make_rig: MakeRig) -> None:
    rig = moved(make_rig)
    first, second = rig.servers
    client = rig.client()
    for number in range(10):
        server, other = (second, first) if number % 2 == 0 else (first, second)
        client.send("INCR", "n")
        rig.until(lambda: stands_by(other, server))  # noqa: B023
        outcome = back(rig)
        rig.until(lambda: outcome.deferred.called)  # noqa: B023
        assert outcome.value["report"]["result"] == "done" and rig.server == other.name
        client.send("INCR", "n")
        rig.advance(0.1)
    assert client.got == b"".join(b":%d\r\n" % count for count in range(1, 21)) and not client.gone


def test_a_dry_run_of_it_changes_nothing(make_rig: MakeRig) -> None:
    rig = moved(make_rig)
    outcome = back(rig, dry_run=True)
    rig.advance(1)
    assert outcome.value["report"]["result"] == "dry_run" and rig.server == rig.servers[1].name
    assert stands_by(*rig.servers) and rig.control.configuration.left is None


def test_nobody_goes_back_who_has_not_come_from_anywhere(rig: Rig) -> None:
    for order in (lambda: rig.operations.switchover(False, back=True), rig.operations.forget_way_back):
        outcome = Outcome(order())
        rig.advance(1)
        assert isinstance(outcome.error, WrongState)


def test_a_process_that_was_restarted_finds_it_again_by_who_follows(make_rig: MakeRig) -> None:
    rig = moved(make_rig)
    rig.until(lambda: stands_by(*rig.servers))
    rig.control.results.way_back = {}
    outcome = back(rig)
    rig.until(lambda: outcome.deferred.called)
    assert outcome.value["report"]["result"] == "done" and rig.server == rig.servers[0].name
    assert "found again" in " ".join(outcome.value["report"]["warnings"])
    rig.until(lambda: stands_by(rig.servers[1], rig.servers[0]))


def test_what_a_peer_that_has_led_tells_of_the_server_before_is_known_but_not_its_settings(make_rig: MakeRig) -> None:
    rig = moved(make_rig)
    rig.until(lambda: stands_by(*rig.servers))
    way_back = rig.control.switchover.way_back
    way_back.told({"source": 7, "why_not": "", "left": ""})
    assert rig.control.results.way_back["found"] is False
    way_back.told({"source": ["10.0.0.2", 6379, False], "why_not": "", "left": ""})
    assert way_back.describe() == {"to": "10.0.0.1:6379", "follows": True, "why_not": ""}
    outcome = back(rig)
    rig.until(lambda: outcome.deferred.called)
    assert outcome.value["report"]["result"] == "done" and rig.server == rig.servers[0].name
    assert "or made to follow by a peer that is gone" in " ".join(outcome.value["report"]["warnings"])


def test_a_replica_that_no_switchover_has_left_is_no_way_back(make_rig: MakeRig) -> None:
    rig = moved(make_rig)
    rig.until(lambda: stands_by(*rig.servers))
    rig.control.results.way_back = {}
    rig.servers[0].config["min-replicas-to-write"] = "0"
    outcome = back(rig)
    rig.advance(1)
    assert "no server that a switchover has left follows 10.0.0.2:6379" in str(outcome.error)
    rig.servers[0].down = True
    outcome = back(rig)
    rig.advance(1)
    assert "10.0.0.1:6379, which follows it, can't be asked" in str(outcome.error)


def test_what_another_process_hands_on_is_known_to_this_one(make_rig: MakeRig) -> None:
    rig = moved(make_rig)
    rig.servers[0].down = True
    handed = json.loads(json.dumps(rig.control.results.history({})))
    rig.control.results.way_back = {}
    rig.control.results.take_history(handed)
    assert rig.control.switchover.way_back.describe() == {"to": "10.0.0.1:6379", "follows": True, "why_not": ""}
    nonsense: list[dict[str, Any]] = [{"way_back": {"before": {}}}, {"way_back": 7}, {}]
    for each in nonsense:
        rig.control.results.way_back = {}
        rig.control.results.take_history(each)
        assert rig.control.switchover.way_back.describe() is None


def test_a_reload_does_not_lead_onto_the_server_that_was_left(make_rig: MakeRig) -> None:
    rig = moved(make_rig)
    gone = back(rig)
    rig.advance(TIME_S)
    assert "has to name 10.0.0.1:6379" in " ".join(gone.value["report"]["warnings"])
    for _ in range(2):
        refused = Outcome(rig.operations.reload())
        rig.advance(1)
        assert isinstance(refused.error, BadRequest) and "left by going back" in str(refused.error)
        back(rig, dry_run=True)
        rig.advance(1)
    assert rig.server == rig.servers[0].name
    rig.name_server(rig.servers[0])
    taken = Outcome(rig.operations.reload())
    rig.advance(1)
    assert taken.error is None and rig.control.configuration.left is None


def test_the_file_may_name_the_server_that_was_left_for_another_switchover(make_rig: MakeRig) -> None:
    rig = moved(make_rig)
    back(rig)
    rig.advance(TIME_S)
    again = Outcome(rig.operations.switchover(dry_run=False))
    rig.advance(TIME_S)
    assert again.value["report"]["result"] == "done" and rig.server == rig.servers[1].name
    reloaded = Outcome(rig.operations.reload())
    rig.advance(1)
    assert reloaded.error is None


def test_at_every_single_moment_going_back_can_be_aborted_or_is_done(make_rig: MakeRig) -> None:
    rig = moved(make_rig)
    client, undone, late = rig.client(), 0, 0
    for number in range(0, 3000, 2):
        here = next(each for each in rig.servers if each.name == rig.server)
        there = next(each for each in rig.servers if each is not here)
        rig.until(lambda: stands_by(there, here))  # noqa: B023
        client.send("INCR", "n")
        first, outcome = rig.clock.events, back(rig)
        rig.clock.run_until(rig.clock.seconds() + TIME_S, lambda: rig.clock.events >= first + number)  # noqa: B023
        aborted = Outcome(rig.operations.switchover_abort())
        rig.advance(TIME_S)
        client.send("INCR", "n")
        rig.advance(0.1)
        assert rig.gate.open and outcome.deferred.called
        if aborted.error is None:
            undone += 1
            assert rig.server == here.name and stands_by(there, here), number
        else:
            late += 1
            assert rig.server == there.name and outcome.value["report"]["result"] == "done", number
        if late > 20:
            break
    assert client.got == b"".join(b":%d\r\n" % count for count in range(1, 2 * (undone + late) + 1))
    assert undone > 20 and late > 20


@pytest.mark.parametrize("number", range(0, 400, 8))
def test_a_proxy_that_ends_at_any_moment_leaves_one_server_in_use_and_one_behind_its_fence(
    make_rig: MakeRig, number: int
) -> None:
    """The moments are counted from the swap: the old server begins to follow after it."""
    rig = make_rig(switchover={"keep_way_back": True})
    outcome = switch(rig, keep_way_back=True)
    rig.until(lambda: "swap" in rig.orders)
    first = rig.clock.events
    rig.clock.run_until(rig.clock.seconds() + 1, lambda: rig.clock.events >= first + number)
    stopped = rig.stop()
    rig.advance(TIME_S)
    assert stopped.deferred.called and outcome.value["report"]["result"] == "done"
    assert rig.servers[1].repl.primary is None and not is_fenced(rig.servers[1]) and is_fenced(rig.servers[0])


def test_an_old_server_that_is_gone_is_told_and_costs_nothing_else(make_rig: MakeRig) -> None:
    rig = make_rig(switchover={"keep_way_back": True})
    outcome = switch(rig, keep_way_back=True)
    rig.until(lambda: "swap" in rig.orders)
    rig.servers[0].down = True
    rig.servers[0].crash(3600)
    rig.advance(TIME_S)
    report = outcome.value["report"]
    assert report["result"] == "done" and not report["way_back"]["follows"] and report["way_back"]["why_not"]
    assert "does not follow the new one" in " ".join(report["warnings"]) and rig.server == rig.servers[1].name


def test_an_old_server_without_a_fence_is_left_alone(make_rig: MakeRig) -> None:
    """It may have been restarted, and taken writes that nobody knows of."""
    rig = make_rig(switchover={"keep_way_back": True})
    outcome = switch(rig, keep_way_back=True)
    rig.until(lambda: "swap" in rig.orders)
    rig.servers[0].config["min-replicas-to-write"] = "0"
    rig.advance(TIME_S)
    assert "bears no fence" in outcome.value["report"]["way_back"]["why_not"]
    assert rig.servers[0].repl.primary is None


def test_forgotten_it_stays_behind_its_fence(make_rig: MakeRig) -> None:
    rig = moved(make_rig)
    rig.until(lambda: stands_by(*rig.servers))
    rig.servers[0].config["min-replicas-to-write"] = "0"  # somebody has lifted it, while it was a replica
    forgotten = Outcome(rig.operations.forget_way_back())
    rig.advance(1)
    assert forgotten.value["forgotten"] == "10.0.0.1:6379" and rig.servers[0].repl.primary is None
    again = back(rig)
    rig.advance(1)
    assert is_fenced(rig.servers[0]) and isinstance(again.error, WrongState)


def test_one_that_follows_another_server_by_now_is_not_forgotten(make_rig: MakeRig) -> None:
    rig = moved(make_rig)
    rig.net.hosts["10.9.0.9:6379"] = rig.servers[1]
    rig.servers[0].follow("10.9.0.9", 6379)
    forgotten = Outcome(rig.operations.forget_way_back())
    rig.advance(1)
    assert "follows 10.9.0.9:6379 by now" in str(forgotten.error)


def test_a_reload_does_not_lead_onto_the_server_that_was_left_by_another_address_either(make_rig: MakeRig) -> None:
    rig = moved(make_rig)
    back(rig)
    rig.advance(TIME_S)
    rig.net.hosts["10.9.0.2:6379"] = rig.servers[1]
    rig.name_server(rig.servers[1], uplink={"addr": "10.9.0.2:6379"})
    refused = Outcome(rig.operations.reload())
    rig.advance(1)
    assert "10.9.0.2:6379 is fenced" in str(refused.error) and rig.server == rig.servers[0].name
    rig.servers[1].config["min-replicas-to-write"] = "0"
    Outcome(rig.operations.reload())
    rig.advance(1)
    assert rig.server == "10.9.0.2:6379"


def test_a_data_plane_that_is_found_on_the_server_before_is_not_led_away_by_the_file(make_rig: MakeRig) -> None:
    """The answer to the swap was lost: only later it is known that the clients are back."""
    rig = moved(make_rig)
    configuration, settings = rig.control.configuration, rig.control.configuration.settings
    rig.faults["bring"] = DataPlaneLost("gone")
    back(rig)
    rig.advance(TIME_S)
    rig.faults.clear()
    assert configuration.settings is settings and configuration.left is None
    configuration.found_in_force(configuration.of_server_before(rig.read_as(rig.servers[0]).uplink).settings)
    assert str(configuration.left) == rig.servers[1].name


def watched(make_rig: MakeRig) -> Rig:
    rig = moved(make_rig, **{name: value for name, value in WATCH.items() if name != "keep_way_back"})
    rig.until(lambda: stands_by(*rig.servers))
    return rig


def verdict(rig: Rig) -> str:
    return (rig.control.switchover.watch.describe() or {}).get("verdict", "never begun")


def test_a_watch_goes_back_when_there_are_too_many_errors(make_rig: MakeRig) -> None:
    rig = watched(make_rig)
    rig.advance(0.5)
    rig.servers[1].errors += 11
    rig.advance(TIME_S)
    assert rig.server == rig.servers[0].name and verdict(rig).startswith("went back: 11 error replies within a second")
    report = rig.control.results.switchovers[0]
    assert "11 error replies" in report["reason"] and stands_by(rig.servers[1], rig.servers[0])


def test_a_watch_goes_back_when_answers_are_slow(make_rig: MakeRig) -> None:
    rig = watched(make_rig)
    for _ in range(6):
        rig.servers[1].hang(0.3)
        rig.advance(0.4)
    rig.advance(TIME_S)
    assert rig.server == rig.servers[0].name and "watch_latency_ms" in verdict(rig)


def test_one_slow_answer_and_few_errors_are_no_reason(make_rig: MakeRig) -> None:
    rig = watched(make_rig)
    rig.servers[1].errors += 9
    rig.servers[1].hang(0.3)
    rig.advance(WATCH["watch_ms"] / 1000 + 1)
    assert rig.server == rig.servers[1].name and verdict(rig) == "all was well"


def test_a_watch_that_can_not_go_back_says_so_and_nothing_is_undone(make_rig: MakeRig) -> None:
    rig = watched(make_rig)
    rig.servers[1].crash(1.0)
    rig.advance(TIME_S)
    assert rig.server == rig.servers[1].name and verdict(rig).startswith("could not go back")


@pytest.mark.parametrize("order", ["forget", "back", "stop"])
def test_a_watch_ends_with_what_an_operator_orders(make_rig: MakeRig, order: str) -> None:
    rig = watched(make_rig)
    if order == "forget":
        rig.operations.forget_way_back()
    elif order == "back":
        back(rig)
    else:
        rig.stop()
    rig.advance(1)
    rig.servers[1].errors += 100
    rig.advance(TIME_S)
    assert verdict(rig).startswith("ended: ")
    assert rig.server == rig.servers[0 if order == "back" else 1].name
