"""Orders to a data plane, in the same process and in another one: each may come twice, or at the wrong time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from redisproxy import config
from redisproxy.dataplane.interface import (
    SWITCHOVER,
    ClientFilter,
    DataPlane,
    GateReopened,
    HandedClient,
    Noted,
    NotSupported,
    Taker,
    WrongOrder,
)
from redisproxy.net.errors import ServerBusy
from tests.control.over_amp import over_amp, promptly
from tests.control.rig import Outcome, Rig, same_process


@pytest.fixture(params=[same_process, over_amp])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    rig = Rig(request.param, tmp_path)
    yield rig
    rig.end()


@pytest.fixture
def dataplane(rig: Rig) -> DataPlane:
    return rig.local if rig.same_process else promptly(rig.dataplane, rig.clock)


def settings_of(rig: Rig, at: int) -> config.Settings:
    """The settings with another server."""
    rig.name_server(rig.servers[at])
    return rig.read()


def dataplane_is_at(rig: Rig, at: int) -> bool:
    return str(rig.local.in_force.settings.uplink.address) == rig.servers[at].name


def now(deferred: Deferred[Any]) -> Any:
    """What has fired already: its result, or its error."""
    outcome = Outcome(deferred)
    assert outcome.deferred.called
    return outcome.value if outcome.error is None else outcome.error


def test_a_move_that_is_not_prepared_can_not_go_on(dataplane: DataPlane) -> None:
    move = dataplane.move
    for order in (move.connect, move.prove_watches, move.bring, move.swap):
        assert isinstance(now(order()), WrongOrder)
    assert now(move.abandon()) is None


def test_at_most_one_move_is_prepared(rig: Rig, dataplane: DataPlane) -> None:
    assert now(dataplane.move.prepare(settings_of(rig, 1))) is None
    assert isinstance(now(dataplane.move.prepare(settings_of(rig, 1))), WrongOrder)
    now(dataplane.move.abandon())
    assert now(dataplane.move.prepare(settings_of(rig, 1))) is None
    now(dataplane.move.abandon())


def test_abandoning_ends_a_move_that_connects(rig: Rig, dataplane: DataPlane) -> None:
    rig.servers[1].unreachable = True
    now(dataplane.move.prepare(settings_of(rig, 1)))
    connecting = Outcome(dataplane.move.connect())
    rig.advance(0.1)
    now(dataplane.move.abandon())
    assert isinstance(connecting.error, CancelledError) and dataplane_is_at(rig, 0)


def test_a_move_takes_no_turn_of_the_reactor_between_drained_and_released(rig: Rig, dataplane: DataPlane) -> None:
    if not rig.same_process:
        pytest.skip("orders to another process take time")
    now(dataplane.move.prepare(settings_of(rig, 1)))
    connecting = Outcome(dataplane.move.connect())
    rig.advance(0.5)
    assert connecting.deferred.called and connecting.error is None
    now(dataplane.gate.hold("reload"))
    drained = Outcome(dataplane.gate.drained())
    rig.advance(0)
    assert drained.deferred.called
    assert [now(dataplane.move.bring()), now(dataplane.move.swap())] == [None, None]
    assert now(dataplane.gate.release("reload")).opened
    assert dataplane_is_at(rig, 1)


def test_holding_twice_for_one_reason_is_the_same_as_once(dataplane: DataPlane) -> None:
    assert [now(dataplane.gate.hold("reload")).closed for _ in range(2)] == [True, False]
    assert now(dataplane.gate.hold("operator")).gate.reasons == ("operator", "reload")
    assert not now(dataplane.gate.release("reload")).opened
    assert now(dataplane.gate.release("operator")).opened
    assert not now(dataplane.gate.release("operator")).opened


def test_the_collector_of_garbage_rests_while_a_switchover_holds_the_clients(dataplane: DataPlane) -> None:
    import gc

    now(dataplane.gate.hold(SWITCHOVER))
    assert not gc.isenabled()
    now(dataplane.gate.release(SWITCHOVER))
    assert gc.isenabled()


def test_waiting_for_the_drain_ends_when_the_gate_opens_or_the_waiting_is_cancelled(
    rig: Rig, dataplane: DataPlane
) -> None:
    assert isinstance(now(dataplane.gate.drained()), GateReopened)
    rig.in_flight(1)
    now(dataplane.gate.hold("reload"))
    first, second = Outcome(dataplane.gate.drained()), Outcome(dataplane.gate.drained())
    first.deferred.cancel()
    now(dataplane.gate.release("reload"))
    assert isinstance(first.error, CancelledError) and isinstance(second.error, GateReopened)


def test_clients_are_listed_by_what_describes_them(rig: Rig, dataplane: DataPlane) -> None:
    clients = [rig.client() for _ in range(3)]
    clients[1].send("SELECT", 5)
    rig.advance(0.1)
    listed = now(dataplane.clients.list(ClientFilter()))
    assert [each.id for each in listed] == [1, 2, 3] and b"id=2 " in listed[1].line and b" db=5 " in listed[1].line
    address = rig.local.registry.get(3).address  # type: ignore[union-attr]
    for which, ids in {
        ClientFilter(ids=frozenset({1, 3, 9})): [1, 3],
        ClientFilter(address=address): [3],
        ClientFilter(local_address="nowhere"): [],
        ClientFilter(pubsub=True): [],
        ClientFilter(pubsub=False): [1, 2, 3],
        ClientFilter(user=b"somebody"): [],
        ClientFilter(min_age_s=10): [],
    }.items():
        assert [each.id for each in now(dataplane.clients.list(which))] == ids, which
    assert now(dataplane.clients.highest_db()) == 5


def test_killing_twice_is_the_same_as_once(rig: Rig, dataplane: DataPlane) -> None:
    clients = [rig.client() for _ in range(2)]
    rig.advance(0.1)
    assert now(dataplane.clients.kill(frozenset({2, 7}))) == 1
    rig.advance(0.1)
    assert [client.gone for client in clients] == [False, True]
    assert now(dataplane.clients.kill(frozenset({2}))) == 0
    assert now(dataplane.figures()).clients_closed == {"killed": 1}


@pytest.mark.parametrize(("error", "reply"), [(False, b"*-1\r\n"), (True, b"-UNBLOCKED ")])
def test_a_blocking_command_is_ended(rig: Rig, dataplane: DataPlane, error: bool, reply: bytes) -> None:
    client = rig.client()
    assert now(dataplane.clients.unblock(1, error)) is False
    client.send("BLPOP", "list", 0)
    rig.advance(0.2)
    assert now(dataplane.clients.unblock(1, error)) is True
    rig.advance(0.2)
    assert client.got.startswith(reply)
    assert now(dataplane.clients.unblock(99)) is False


def test_a_data_plane_that_reaches_no_other_refuses_to_hand_clients_over(dataplane: DataPlane) -> None:
    assert isinstance(now(dataplane.handover.hand_over((Taker("/run/other.sock", 1),), 1.0)), NotSupported)


def test_the_server_is_known_once_it_has_answered(rig: Rig, dataplane: DataPlane) -> None:
    assert now(dataplane.server_known()) is None
    figures = now(dataplane.figures())
    assert figures.uplink.connected and figures.uplink.server and now(dataplane.connected())


# -- what clients change silently


def noting(rig: Rig, dataplane: DataPlane) -> None:
    """Begin to note, and wait until it has begun."""
    beginning = Outcome(dataplane.notes.begin(5.0))
    rig.advance(0.1)
    assert beginning.deferred.called and beginning.error is None


def test_what_clients_change_silently_is_noted_between_the_beginning_and_the_end(
    rig: Rig, dataplane: DataPlane
) -> None:
    client = rig.client()
    silently(rig, client)
    assert isinstance(now(dataplane.notes.take()), WrongOrder)
    noting(rig, dataplane)
    assert now(dataplane.notes.take()) == Noted()
    silently(rig, client)
    assert [now(dataplane.notes.take()) for _ in range(2)] == [Noted(keys=((0, b"s"),)), Noted()]
    silently(rig, client)
    assert [now(dataplane.notes.end()) for _ in range(2)] == [None, None]
    assert isinstance(now(dataplane.notes.take()), WrongOrder)
    noting(rig, dataplane)
    assert now(dataplane.notes.take()) == Noted()


def silently(rig: Rig, client: Any) -> None:
    """A command that the server does not tell of, whatever comes of it."""
    client.send("XACK", "s", "g", "1-1")
    rig.advance(0.1)


def test_noting_has_begun_when_what_was_sent_before_is_answered(rig: Rig, dataplane: DataPlane) -> None:
    rig.servers[0].hang(1.0)
    rig.client().send("INCR", "n")
    rig.advance(0.01)
    beginning = Outcome(dataplane.notes.begin(5.0))
    rig.advance(0.5)
    assert not beginning.deferred.called
    rig.advance(1)
    assert beginning.deferred.called and beginning.error is None


def test_noting_does_not_begin_when_what_was_sent_before_is_not_answered(rig: Rig, dataplane: DataPlane) -> None:
    rig.in_flight(1)
    beginning = Outcome(dataplane.notes.begin(2.0))
    rig.advance(3)
    assert isinstance(beginning.error, ServerBusy) and "within 2 s" in str(beginning.error)
    assert isinstance(now(dataplane.notes.take()), WrongOrder) and not rig.local.core.notes.on


def test_who_cancels_the_beginning_has_nothing_noted(rig: Rig, dataplane: DataPlane) -> None:
    rig.in_flight(1)
    beginning = Outcome(dataplane.notes.begin(60.0))
    rig.advance(1)
    beginning.deferred.cancel()
    rig.advance(1)
    assert isinstance(beginning.error, CancelledError) and not rig.local.core.notes.on


def test_a_blocked_client_does_not_keep_noting_from_its_beginning(rig: Rig, dataplane: DataPlane) -> None:
    rig.client().send("BLPOP", "list", 0)
    rig.advance(0.2)
    noting(rig, dataplane)


def test_noting_goes_on_behind_a_move(rig: Rig, dataplane: DataPlane) -> None:
    client = rig.client()
    noting(rig, dataplane)
    rig.name_server(rig.servers[1])
    moved = Outcome(ensureDeferred(rig.operations.reload()))
    rig.advance(2)
    assert moved.error is None and dataplane_is_at(rig, 1)
    now(dataplane.notes.take())
    silently(rig, client)
    assert now(dataplane.notes.take()) == Noted(keys=((0, b"s"),))


def test_a_client_that_comes_from_another_data_plane_may_have_changed_anything(rig: Rig, dataplane: DataPlane) -> None:
    noting(rig, dataplane)
    adopting = rig.local.handover.adopt(HandedClient(b"", -1))
    adopting.addErrback(lambda failure: failure.trap(Exception))
    assert now(dataplane.notes.take()) == Noted(everything=True)
