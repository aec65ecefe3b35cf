"""Orders to all workers at once: what is one to the control plane, and what happens when a worker is lost in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.defer import CancelledError, Deferred

from redisproxy.dataplane.interface import (
    FAILOVER,
    OPERATOR,
    RELOAD,
    ClientFilter,
    ClientQuery,
    DataPlaneLost,
    GateReopened,
    Noted,
    NotSupported,
    Rejected,
    WrongOrder,
)
from redisproxy.net.errors import ServerBusy, UplinkError
from redisproxy.workers.all_clients import ANSWER_S
from redisproxy.workers.all_moves import BACK_S
from tests.workers.rig import LOST, Client, Outcome, Rig, Worker, now


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.end()


def reasons(rig: Rig) -> list[set[str]]:
    return [set(worker.local.core.gate.reasons) for worker in rig.workers if not worker.why]


def servers(rig: Rig) -> list[str]:
    return [worker.server for worker in rig.workers if not worker.why]


# -- the gate


def test_clients_of_all_workers_are_held_and_let_go_as_one(rig: Rig) -> None:
    clients = [Client(worker) for worker in rig.workers]
    hold = now(rig.gate.hold(RELOAD))
    assert hold.closed and reasons(rig) == [{RELOAD}] * 3
    for client in clients:
        client.send("SET", "key", "value")
    rig.advance(0.1)
    assert now(rig.gate.state()).held == 3
    release = now(rig.gate.release(RELOAD))
    assert release.opened and release.held == 3 and release.closed_s == pytest.approx(0.1)
    rig.advance(0.1)
    assert [client.got for client in clients] == [b"+OK\r\n"] * 3


def test_they_are_drained_when_each_worker_is(rig: Rig) -> None:
    rig.servers[0].hang(3600)
    client = Client(rig.workers[2])
    client.send("INCR", "n")
    rig.advance(0.01)
    assert now(rig.gate.hold(RELOAD)).gate.state == "pausing"
    drained = Outcome(rig.gate.drained())
    rig.advance(1)
    assert not drained.deferred.called
    assert [each.id for each in now(rig.gate.drop_in_flight())] == [client.id]
    rig.advance(0.1)
    assert drained.deferred.called and drained.error is None
    now(rig.gate.release(RELOAD))


def test_who_waits_longest_in_each_worker_is_named_first(rig: Rig) -> None:
    rig.servers[0].hang(3600)
    first, second, third = (Client(rig.workers[at]) for at in (1, 1, 2))
    for client in (second, first, third):
        client.send("INCR", "n")
        rig.advance(0.01)
    assert [each.id for each in now(rig.gate.who_is_in_flight())] == [second.id, third.id, first.id]


def test_a_worker_that_had_nothing_in_flight_when_it_was_held_is_not_asked_again(rig: Rig) -> None:
    rig.servers[0].hang(3600)
    Client(rig.workers[1]).send("INCR", "n")
    rig.advance(0.01)
    now(rig.gate.hold(RELOAD))
    drained = Outcome(rig.gate.drained())
    assert ["drained" in worker.orders for worker in rig.workers] == [False, True, False]
    now(rig.gate.release(RELOAD))
    assert isinstance(drained.error, GateReopened)
    assert isinstance(now(rig.gate.drained()), GateReopened)


def test_a_worker_none_of_whose_clients_has_a_watch_is_not_asked_to_prove_any(rig: Rig) -> None:
    watching, sending = Client(rig.workers[0]), Client(rig.workers[1])
    for client in (watching, sending):
        client.send("WATCH", "key")
        rig.advance(0.1)
    sending.send("UNWATCH")
    rig.advance(0.1)
    rig.servers[0].hang(3600)
    sending.send("WATCH", "key")
    rig.advance(0.01)
    now(rig.move.prepare(rig.settings(1)))
    now(rig.gate.hold(RELOAD))
    proving = Outcome(rig.move.prove_watches())
    assert ["prove_watches" in worker.orders for worker in rig.workers] == [True, True, False]
    proving.deferred.cancel()
    now(rig.gate.release(RELOAD))
    proving = Outcome(rig.move.prove_watches())
    assert "prove_watches" in rig.workers[2].orders, "it was said for the time in which it was held"
    proving.deferred.cancel()
    rig.servers[0].wake()
    now(rig.move.abandon())


def test_what_a_worker_said_when_it_was_held_counts_for_that_time_only(rig: Rig) -> None:
    now(rig.gate.hold(RELOAD))
    assert now(rig.gate.drained()) is None
    now(rig.gate.release(RELOAD))
    rig.servers[0].hang(3600)
    Client(rig.workers[1]).send("INCR", "n")
    rig.advance(0.01)
    now(rig.gate.hold(RELOAD))
    drained = Outcome(rig.gate.drained())
    rig.advance(1)
    assert not drained.deferred.called
    rig.servers[0].wake()
    rig.advance(0.1)
    assert drained.deferred.called and drained.error is None
    now(rig.gate.release(RELOAD))


def test_an_answer_that_comes_after_the_gate_was_opened_is_not_believed(rig: Rig) -> None:
    late: Deferred[None] = Deferred()
    rig.workers[0].held_up["hold"] = late
    hold = Outcome(rig.gate.hold(RELOAD))
    now(rig.gate.release(RELOAD))
    late.callback(None)
    assert hold.deferred.called
    assert isinstance(now(rig.gate.drained()), GateReopened)
    now(rig.gate.release(RELOAD))


def test_waiting_for_the_drain_ends_when_the_gate_is_opened_and_when_it_is_cancelled(rig: Rig) -> None:
    rig.servers[0].hang(3600)
    Client(rig.workers[0]).send("INCR", "n")
    rig.advance(0.01)
    now(rig.gate.hold(RELOAD))
    first, second = Outcome(rig.gate.drained()), Outcome(rig.gate.drained())
    first.deferred.cancel()
    now(rig.gate.release(RELOAD))
    assert isinstance(first.error, CancelledError) and isinstance(second.error, GateReopened)


def test_a_hold_that_fails_is_taken_back_from_all(rig: Rig) -> None:
    rig.workers[1].faults["hold"] = RuntimeError("a bug")
    assert isinstance(now(rig.gate.hold(RELOAD)), RuntimeError)
    rig.workers[1].faults.clear()
    assert reasons(rig) == [set()] * 3 and rig.members.reasons == set()


def test_a_worker_that_is_lost_is_not_waited_for(rig: Rig) -> None:
    rig.servers[0].hang(3600)
    for worker in rig.workers[:2]:
        Client(worker).send("INCR", "n")
    rig.advance(0.01)
    now(rig.gate.hold(RELOAD))
    waiting: Deferred[None] = Deferred()
    rig.workers[0].held_up["drained"] = waiting
    rig.workers[1].held_up["drained"] = Deferred()
    drained = Outcome(rig.gate.drained())
    rig.workers[1].held_up["drained"].errback(LOST)
    assert rig.workers[1].why and not drained.deferred.called
    waiting.callback(None)
    rig.servers[0].wake()
    rig.advance(0.1)
    assert drained.deferred.called and drained.error is None
    assert now(rig.gate.release(RELOAD)).opened


# -- a move


def test_a_move_takes_all_workers_to_the_other_server(rig: Rig) -> None:
    rig.prepared()
    assert now(rig.move.swap()) is None and now(rig.gate.release(RELOAD)).opened
    assert servers(rig) == [rig.servers[1].name] * 3
    assert rig.members.settings.uplink.address == rig.settings(1).uplink.address


def test_what_one_worker_refuses_none_has_prepared(rig: Rig) -> None:
    rig.workers[2].faults["prepare"] = Rejected("a certificate")
    assert isinstance(now(rig.move.prepare(rig.settings(1))), Rejected)
    rig.workers[2].faults.clear()
    assert now(rig.move.prepare(rig.settings(1))) is None
    assert isinstance(now(rig.move.prepare(rig.settings(1))), WrongOrder)
    now(rig.move.abandon())


def test_when_one_can_not_connect_the_others_stop_trying(rig: Rig) -> None:
    now(rig.move.prepare(rig.settings(1)))
    rig.workers[1].held_up["connect"] = Deferred()
    rig.servers[1].unreachable = True
    connecting = Outcome(rig.move.connect())
    rig.workers[1].held_up["connect"].errback(UplinkError("refused"))
    assert isinstance(connecting.error, UplinkError)
    now(rig.move.abandon())
    assert servers(rig) == [rig.servers[0].name] * 3


def test_a_move_that_is_not_prepared_can_not_go_on(rig: Rig) -> None:
    for order in (rig.move.connect, rig.move.prove_watches, rig.move.bring, rig.move.swap):
        assert isinstance(now(order()), WrongOrder)
    assert now(rig.move.abandon()) is None


@pytest.mark.parametrize("order", ["bring", "swap", "release"])
def test_a_move_goes_on_without_a_worker_that_is_lost(rig: Rig, order: str) -> None:
    rig.prepared()
    rig.workers[1].faults[order] = LOST
    for step in (rig.move.bring, rig.move.swap, lambda: rig.gate.release(RELOAD)):
        assert not isinstance(now(step()), Exception)
    assert rig.workers[1].why and servers(rig) == [rig.servers[1].name] * 2 and reasons(rig) == [set()] * 2


def test_a_worker_that_can_not_swap_does_not_stay_at_the_old_server(rig: Rig) -> None:
    rig.prepared()
    rig.workers[0].faults["swap"] = WrongOrder("a bug")
    rig.workers[2].held_up["swap"] = Deferred()
    swapping = Outcome(rig.move.swap())
    rig.advance(1)
    assert rig.workers[0].why and not swapping.deferred.called
    rig.advance(2)
    assert rig.workers[2].why and swapping.deferred.called and swapping.error is None
    now(rig.gate.release(RELOAD))
    assert servers(rig) == [rig.servers[1].name]


def test_that_a_worker_was_lost_in_a_move_is_known_when_that_is_over_until_it_is_used_again(rig: Rig) -> None:
    rig.prepared()
    worker = rig.workers[1]
    rig.members.lose(worker, "its link is cut")
    now(rig.move.swap())
    now(rig.gate.release(RELOAD))
    assert not rig.members.moving and worker in rig.members.moved_without
    late = rig.worker(2)
    rig.members.moved_without.add(late)
    rig.members.join(late)
    assert late not in rig.members.moved_without
    rig.members.lose(late, "its link is cut, and no move is under way")
    assert late not in rig.members.moved_without


def test_when_all_are_lost_a_move_is_undone_before_the_swap_and_done_behind_it(rig: Rig) -> None:
    rig.prepared()
    for worker in rig.workers:
        worker.end("killed")
    assert isinstance(now(rig.gate.drained()), DataPlaneLost)
    assert isinstance(now(rig.move.bring()), DataPlaneLost)
    assert now(rig.move.swap()) is None and not isinstance(now(rig.gate.release(RELOAD)), Exception)
    again = rig.worker(1)
    rig.members.join(again)
    rig.advance(0.1)
    assert again.server == rig.servers[1].name and rig.members.in_use == [again]


# -- workers that come


def test_a_worker_joins_when_no_move_is_under_way(rig: Rig) -> None:
    rig.workers[0].end("killed")
    rig.prepared()
    late = rig.worker(1)
    rig.members.join(late)
    assert 1 not in [each.number for each in rig.members.in_use]
    now(rig.move.abandon())
    assert 1 not in [each.number for each in rig.members.in_use]
    now(rig.gate.release(RELOAD))
    assert late in rig.members


def test_one_that_has_begun_with_other_settings_is_begun_again(rig: Rig) -> None:
    rig.workers[0].end("killed")
    rig.prepared()
    late = rig.worker(1)
    rig.members.join(late)
    now(rig.move.swap())
    now(rig.gate.release(RELOAD))
    assert "settings" in late.why and 1 not in [each.number for each in rig.members.in_use]


def test_one_that_lingers_at_the_server_that_others_have_left_is_not_used(rig: Rig) -> None:
    """It was found while they moved, and has not come along."""
    rig.prepared()
    late = rig.worker(4)
    late.serving = False
    rig.members.join(late)
    now(rig.move.swap())
    now(rig.gate.release(RELOAD))
    assert late.why.startswith("it was left at") and late not in rig.members


def test_one_that_was_not_driven_when_the_pause_of_the_operator_ended_is_held_no_more(rig: Rig) -> None:
    client, worker = Client(rig.workers[1]), rig.workers[1]
    now(rig.gate.hold(OPERATOR))
    rig.members.forget(worker)
    now(rig.gate.release(OPERATOR))
    client.send("PING")
    rig.advance(0.1)
    before = client.got
    rig.members.join(worker)
    rig.advance(0.1)
    assert (before, client.got) == (b"", b"+PONG\r\n")


def test_one_that_joins_in_a_pause_of_the_operator_is_paused_before_it_has_clients(rig: Rig) -> None:
    rig.workers[0].end("killed")
    now(rig.gate.hold(OPERATOR))
    late = rig.worker(1)
    rig.members.changed = lambda: late.orders.append("clients may come")
    rig.members.join(late)
    assert late.orders == ["hold operator", "clients may come"]
    now(rig.gate.release(OPERATOR))
    assert late.local.core.gate.open


# -- workers that go on by themselves for a moment


def test_a_move_waits_for_one_that_goes_on_by_itself_and_takes_it_along(rig: Rig) -> None:
    worker, client = rig.workers[1], Client(rig.workers[1])
    rig.members.goes_on(worker)
    preparing = Outcome(rig.move.prepare(rig.settings(1)))
    rig.advance(1)
    assert not preparing.deferred.called and not any("prepare" in each.orders for each in rig.workers)
    rig.members.join(worker)
    assert preparing.deferred.called and preparing.error is None
    rig.connected()
    now(rig.gate.hold(RELOAD))
    now(rig.move.bring())
    now(rig.move.swap())
    now(rig.gate.release(RELOAD))
    assert servers(rig) == [rig.servers[1].name] * 3 and not client.gone


def test_one_that_does_not_come_back_is_ended_before_the_others_go_to_another_server(rig: Rig) -> None:
    worker = rig.workers[1]
    rig.members.goes_on(worker)
    preparing = Outcome(rig.move.prepare(rig.settings(1)))
    rig.advance(BACK_S - 0.1)
    assert not worker.why and not preparing.deferred.called
    rig.advance(0.2)
    assert "not back" in worker.why and preparing.deferred.called and preparing.error is None
    assert rig.members.away == []
    now(rig.move.abandon())


def test_one_that_goes_on_by_itself_while_a_move_is_prepared_ends_that(rig: Rig) -> None:
    worker, client = rig.workers[1], Client(rig.workers[1])
    rig.workers[2].held_up["prepare"] = Deferred()
    preparing = Outcome(rig.move.prepare(rig.settings(1)))
    rig.members.goes_on(worker)
    worker.local.move.abandon()  # as it does by itself
    rig.members.join(worker)
    rig.workers[2].held_up.pop("prepare").callback(None)
    assert isinstance(preparing.error, DataPlaneLost) and "worker 2" in str(preparing.error)
    assert worker in rig.members and not client.gone
    rig.prepared()
    now(rig.move.abandon())
    now(rig.gate.release(RELOAD))


def test_nothing_stays_of_a_move_that_is_given_up_while_it_waits_for_one(rig: Rig) -> None:
    rig.members.goes_on(rig.workers[1])
    preparing = Outcome(rig.move.prepare(rig.settings(1)))
    preparing.deferred.cancel()
    rig.advance(2 * BACK_S)
    assert isinstance(preparing.error, CancelledError) and not rig.workers[1].why
    rig.members.join(rig.workers[1])
    assert now(rig.move.prepare(rig.settings(1))) is None
    now(rig.move.abandon())


def test_one_that_comes_back_while_a_failover_holds_the_others_is_held_with_them(rig: Rig) -> None:
    worker, client = rig.workers[1], Client(rig.workers[1])
    rig.members.goes_on(worker)
    now(rig.gate.hold(OPERATOR))
    now(rig.gate.hold(FAILOVER))
    rig.members.join(worker)
    assert reasons(rig) == [{OPERATOR, FAILOVER}] * 3
    assert now(rig.move.prepare(rig.settings(1))) is None
    rig.connected()
    now(rig.move.swap())
    now(rig.gate.release(FAILOVER))
    assert reasons(rig) == [{OPERATOR}] * 3 and servers(rig) == [rig.servers[1].name] * 3
    now(rig.gate.release(OPERATOR))
    assert not client.gone and worker.local.core.gate.open


# -- clients


def test_clients_of_all_are_listed_in_order_killed_and_unblocked_by_their_ids(rig: Rig) -> None:
    clients = [Client(rig.workers[at]) for at in (2, 0, 1, 0)]
    assert sorted(client.id for client in clients) == [1, 2, 3, 101]
    assert [line.id for line in now(rig.clients.list(ClientFilter()))] == [1, 2, 3, 101]
    clients[2].send("BLPOP", "nothing", 0)
    rig.advance(0.1)
    assert now(rig.clients.unblock(2)) and not now(rig.clients.unblock(3)) and not now(rig.clients.unblock(9904))
    assert now(rig.clients.kill(frozenset({101, 3, 9904}))) == 2
    rig.advance(0.1)
    assert [client.gone for client in clients] == [True, False, False, True] and clients[2].got == b"*-1\r\n"


def test_a_list_that_nobody_waits_for_any_more_leaves_no_failure_behind(rig: Rig) -> None:
    rig.workers[1].held_up["list"] = Deferred()
    listing = Outcome(rig.clients.list(ClientFilter()))
    listing.deferred.cancel()
    assert isinstance(listing.error, DataPlaneLost)


def test_a_list_is_whole_or_says_who_has_not_answered(rig: Rig) -> None:
    rig.workers[1].held_up["list"] = Deferred()
    listing = Outcome(rig.clients.list(ClientFilter()))
    rig.advance(0.5)
    assert not listing.deferred.called
    rig.advance(1)
    assert isinstance(listing.error, DataPlaneLost) and "worker 2" in str(listing.error)
    assert not rig.workers[1].why


def test_clients_of_a_worker_that_goes_on_by_itself_are_not_left_out(rig: Rig) -> None:
    client = Client(rig.workers[1])
    rig.members.goes_on(rig.workers[1])
    listing, unblocking = Outcome(rig.clients.list(ClientFilter())), Outcome(rig.clients.unblock(client.id))
    for asked in (listing, unblocking):
        assert isinstance(asked.error, DataPlaneLost) and "worker 2" in str(asked.error)
    rig.members.join(rig.workers[1])
    rig.advance(0.1)
    assert [line.id for line in now(rig.clients.list(ClientFilter()))] == [client.id]
    rig.members.goes_on(rig.workers[1])
    rig.workers[1].end("of its own")
    assert now(rig.clients.list(ClientFilter())) == ()


def test_a_worker_that_comes_back_in_a_reload_that_changes_nothing_is_not_ended(rig: Rig) -> None:
    client = Client(rig.workers[1])
    rig.members.goes_on(rig.workers[1])
    now(rig.gate.hold("reload"))
    rig.members.join(rig.workers[1])
    rig.members.settings = rig.settings(0)
    now(rig.gate.release("reload"))
    rig.advance(0.1)
    assert rig.workers[1] in rig.members and not rig.workers[1].why and not client.gone


# -- what clients change silently


def noting(rig: Rig) -> None:
    """Begin to note, and wait until it has begun."""
    beginning = Outcome(rig.notes.begin(5.0))
    rig.advance(0.1)
    assert beginning.deferred.called and beginning.error is None


def silently(rig: Rig, worker: Worker, key: str) -> None:
    """A command of a client of this worker that the server does not tell of."""
    Client(worker).send("XACK", key, "g", "1-1")
    rig.advance(0.2)


def test_the_notes_are_those_of_all_workers(rig: Rig) -> None:
    assert isinstance(now(rig.notes.take()), WrongOrder)
    noting(rig)
    for worker, key in zip(rig.workers, "aab", strict=True):
        silently(rig, worker, key)
    assert sorted(now(rig.notes.take()).keys) == [(0, b"a"), (0, b"b")]
    assert now(rig.notes.take()) == Noted()
    assert now(rig.notes.end()) is None and isinstance(now(rig.notes.take()), WrongOrder)
    assert not any(worker.local.core.notes.on for worker in rig.workers)


def test_what_a_worker_had_noted_that_is_lost_may_be_everything(rig: Rig) -> None:
    noting(rig)
    rig.members.lose(rig.workers[0], "it is gone")
    assert [now(rig.notes.take()).everything for _ in range(2)] == [True, False]
    rig.workers[1].faults["take"] = LOST
    assert now(rig.notes.take()).everything


def test_a_worker_that_joins_notes_from_its_first_client_on(rig: Rig) -> None:
    noting(rig)
    rig.members.lose(rig.workers[0], "it is gone")
    joined = rig.worker(1)
    rig.advance(0.5)
    rig.members.join(joined)
    now(rig.notes.take())
    silently(rig, joined, "k")
    assert now(rig.notes.take()) == Noted(keys=((0, b"k"),))


def test_a_worker_that_joins_when_noting_is_over_notes_nothing(rig: Rig) -> None:
    noting(rig)
    now(rig.notes.end())
    joined = rig.worker(4)
    rig.members.join(joined)
    assert not joined.local.core.notes.on
    joined.stop()


def test_noting_does_not_begin_when_one_worker_has_not_begun(rig: Rig) -> None:
    rig.servers[0].hang(60)
    Client(rig.workers[1]).send("INCR", "n")
    rig.advance(0.1)
    beginning = Outcome(rig.notes.begin(1.0))
    rig.advance(2)
    assert isinstance(beginning.error, ServerBusy)
    assert not any(worker.local.core.notes.on for worker in rig.workers)
    assert isinstance(now(rig.notes.take()), WrongOrder)


def test_without_workers_nothing_can_be_noted(rig: Rig) -> None:
    noting(rig)
    for worker in rig.workers:
        rig.members.lose(worker, "it is gone")
    assert isinstance(now(rig.notes.take()), DataPlaneLost)
    assert isinstance(now(rig.notes.begin(1.0)), DataPlaneLost) and now(rig.notes.end()) is None


def test_the_table_of_clients_is_that_of_all_workers(rig: Rig) -> None:
    for at in (2, 0, 1, 0):
        Client(rig.workers[at])
    table = now(rig.clients.table(ClientQuery()))
    assert [(row.id, row.worker) for row in table.rows] == [(1, 1), (2, 2), (3, 3), (101, 1)] and table.total == 4
    table = now(rig.clients.table(ClientQuery(sort="id", descending=True, limit=2)))
    assert [row.id for row in table.rows] == [101, 3] and table.total == 4


def test_the_table_names_a_worker_that_has_not_told_its_clients(rig: Rig) -> None:
    for at in (0, 1, 2):
        Client(rig.workers[at])
    rig.workers[1].held_up["table"] = Deferred()
    rig.workers[2].faults["table"] = NotSupported("an older program")
    asked = Outcome(rig.clients.table(ClientQuery()))
    rig.advance(ANSWER_S + 0.1)
    assert [row.id for row in asked.value.rows] == [1] and asked.value.missing == ("worker 2", "worker 3")
    assert len(rig.members.in_use) == 3, "an answer that is missing costs no worker its place"
