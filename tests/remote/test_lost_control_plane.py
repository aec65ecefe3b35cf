"""A data plane that loses its control plane: what it holds and has prepared is ended, and a new one learns how."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import provider

from redisproxy.dataplane.interface import RELOAD, SWITCHOVER, DataPlane, DataPlaneLost
from redisproxy.dataplane.local import LocalDataPlane
from redisproxy.remote.data_plane import RemoteDataPlane
from redisproxy.remote.interrupted import MARGIN_S
from redisproxy.remote.served import ServedDataPlane
from redisproxy.remote.standing import Standing
from tests.control.rig import Outcome, Rig
from tests.remote.pair import PipeEnd, pipe
from tests.simulation.clock import SimClock

BUDGET_S = 2.0
TIME_S = 5.0
FENCED = "1000000000"


class Links:
    """A C{rig.Seam} whose connection can be cut, and made again.

    @param lease_s: the control plane is that of another proxy.
    """

    def __init__(self, lease_s: float | None = None) -> None:
        self.lease_s = lease_s
        self.rig: Rig | None = None
        self.control_process_lives = False
        self.living: set[int] = set()
        self.made = 0
        self.ends: tuple[PipeEnd, PipeEnd] | None = None

    def __call__(self, local: LocalDataPlane, clock: SimClock) -> DataPlane:
        self.clock = clock
        self.remote = RemoteDataPlane(clock, self._found_in_force)
        self.served = ServedDataPlane(
            local,
            local.in_force.settings,
            local._network,
            clock,
            other_end=lambda link: ControlProcess(self),
            lease_s=self.lease_s,
        )
        self.connect()
        return self.remote

    def _found_in_force(self, settings: Any) -> None:
        if self.rig is not None:
            self.rig.control.configuration.found_in_force(settings)

    def connect(self, take_over: bool = False) -> Standing:
        """A new connection, which is in use."""
        self.made += 1
        client, server = self.remote.link(), self.served.link()
        self.ends = pipe(self.clock, client, server)
        used = Outcome(ensureDeferred(self.remote.use(client, take_over)))
        self.clock.run_until(self.clock.seconds() + (0.02 if take_over else TIME_S + BUDGET_S + MARGIN_S))
        assert used.deferred.called and used.error is None
        standing: Standing = used.value
        return standing

    def cut(self) -> None:
        """Both sides notice at once."""
        for end in self.ends or ():
            end.lose()
        self.ends = None


class ControlProcess:
    """Implements C{other_end.OtherEnd}, as the test says."""

    def __init__(self, links: Links) -> None:
        self._links, self._number = links, links.made

    def lives(self) -> bool:
        return self._links.control_process_lives or self._number in self._links.living

    def close(self) -> None: ...


@pytest.fixture
def links() -> Links:
    return Links()


@pytest.fixture
def rig(links: Links, tmp_path: Path) -> Iterator[Rig]:
    rig = links.rig = Rig(links, tmp_path, switchover={"pause_budget_ms": int(BUDGET_S * 1000)})
    yield rig
    if links.ends is None:
        links.connect()
    rig.end()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The lines of the log."""
    lines: list[str] = []

    @provider(ILogObserver)
    def observe(event: Any) -> None:
        lines.append((event.get("log_format") or "").format(**event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


def cut_at(rig: Rig, links: Links, order: str, operation: Any) -> Outcome:
    """Begin a move to the second server, and cut the connection before this order of it is given."""
    rig.held_up[order] = held_up = Deferred[None]()
    rig.name_server(rig.servers[1])
    outcome = Outcome(operation())
    rig.advance(1.0)
    assert rig.orders[-1].startswith(order) or order in " ".join(rig.orders)
    links.cut()
    del rig.held_up[order]
    held_up.callback(None)
    return outcome


def is_served(rig: Rig, server: int) -> bool:
    """Whether a new client gets a reply of this server."""
    client, commands = rig.client(), rig.servers[server].connections
    client.send("GET", "k")
    rig.advance(0.1)
    return client.got == b"$-1\r\n" and bool(commands) and rig.local.in_force.settings.uplink.addr == _name(rig, server)


def _name(rig: Rig, server: int) -> str:
    return rig.servers[server].name


@pytest.mark.parametrize("order", ["connect", "hold", "drained", "bring", "swap"])
def test_a_reload_is_abandoned_and_its_hold_released_at_once(rig: Rig, links: Links, order: str) -> None:
    outcome = cut_at(rig, links, order, rig.operations.reload)
    assert outcome.error is not None and outcome.error.__class__.__name__ == "Unavailable"
    assert is_served(rig, 0)
    links.connect()
    again = Outcome(rig.operations.reload())
    rig.advance(1.0)
    assert again.error is None and rig.server == _name(rig, 1) and is_served(rig, 1)


def test_the_operators_pause_stays_until_somebody_takes_it_back(rig: Rig, links: Links) -> None:
    paused = Outcome(rig.operations.pause())
    rig.advance(0.1)
    links.cut()
    rig.advance(60)
    assert paused.error is None and rig.gate.reasons == {"operator"}
    links.connect()
    unpaused = Outcome(rig.operations.unpause())
    rig.advance(0.1)
    assert unpaused.value["state"] == "running" and rig.gate.open


@pytest.mark.parametrize("order", ["connect", "hold", "drained", "prove_watches"])
def test_before_the_promotion_a_switchover_is_rolled_back(rig: Rig, links: Links, order: str) -> None:
    outcome = cut_at(rig, links, order, lambda: rig.operations.switchover(dry_run=False))
    rig.advance(TIME_S)
    assert outcome.error is not None and outcome.error.details["report"]["result"] == "rolled_back"  # type: ignore[attr-defined]
    assert rig.servers[0].config["min-replicas-to-write"] == "0" and rig.gate.open and is_served(rig, 0)
    links.connect()
    assert rig.server == _name(rig, 0)


@pytest.mark.parametrize("order", ["bring", "swap"])
def test_after_the_promotion_the_data_plane_goes_to_the_new_server(rig: Rig, links: Links, order: str) -> None:
    outcome = cut_at(rig, links, order, lambda: rig.operations.switchover(dry_run=False))
    rig.advance(TIME_S)
    assert outcome.error is not None and outcome.error.details["report"]["result"] == "unknown"  # type: ignore[attr-defined]
    assert rig.servers[0].config["min-replicas-to-write"] == FENCED, "nothing was undone"
    assert rig.gate.open and is_served(rig, 1)
    links.connect()
    assert rig.server == _name(rig, 1), "the control plane has learned where the clients are"


@pytest.mark.parametrize(("order", "executed"), [("bring", b"*-1\r\n"), ("swap", b"*1\r\n+OK\r\n")])
def test_a_watch_that_is_made_again_late_is_not_taken_for_proven(
    rig: Rig, links: Links, order: str, executed: bytes
) -> None:
    """Clients of others, which have gone to the new server before, may have written there."""
    client = rig.client()
    client.send("WATCH", "k")
    client.send("MULTI")
    client.send("SET", "k", "mine")
    rig.advance(0.1)
    cut_at(rig, links, order, lambda: rig.operations.switchover(dry_run=False))
    rig.advance(TIME_S)
    before = len(client.got)
    client.send("EXEC")
    rig.advance(1.0)
    assert is_served_by_new(rig) and client.got[before:] == executed and not client.gone


def is_served_by_new(rig: Rig) -> bool:
    return bool(rig.local.in_force.settings.uplink.addr == _name(rig, 1))


def test_the_data_plane_does_not_go_there_by_itself_while_the_control_process_lives(rig: Rig, links: Links) -> None:
    """It may undo the promotion, and with it what clients would have written."""
    links.control_process_lives = True
    cut_at(rig, links, "bring", lambda: rig.operations.switchover(dry_run=False))
    rig.advance(BUDGET_S)
    assert rig.gate.reasons == {SWITCHOVER} and rig.local.in_force.settings.uplink.addr == _name(rig, 0)
    links.control_process_lives = False
    rig.advance(1.0)
    assert rig.gate.open and is_served(rig, 1)


def test_a_new_control_process_is_not_taken_for_the_one_that_was_lost(rig: Rig, links: Links) -> None:
    """It lives, and undoes nothing: the data plane goes to the new server, and is not left at the fenced one."""
    links.living = {2}
    cut_at(rig, links, "bring", lambda: rig.operations.switchover(dry_run=False))
    links.connect()
    assert rig.gate.open and is_served(rig, 1)


def test_a_switchover_whose_release_is_lost_is_done(rig: Rig, links: Links) -> None:
    outcome = cut_at(rig, links, "release", lambda: rig.operations.switchover(dry_run=False))
    rig.advance(TIME_S)
    report = outcome.value["report"]
    assert report["result"] == "done" and any("go on by itself" in text for text in report["warnings"])
    assert rig.gate.open and is_served(rig, 1)


def die(rig: Rig) -> None:
    """The control plane neither goes on with the switchover nor undoes it."""

    async def nothing() -> bool:
        return False

    assert rig.control.switchover.running is not None
    rig.control.switchover.running._roll_back = nothing  # type: ignore[method-assign]


def test_clients_are_not_held_for_ever_when_nobody_promotes(rig: Rig, links: Links, logged: list[str]) -> None:
    rig.held_up["prove_watches"] = Deferred[None]()
    rig.name_server(rig.servers[1])
    Outcome(rig.operations.switchover(dry_run=False))
    rig.advance(1.0)
    die(rig)
    links.cut()
    rig.advance(BUDGET_S + MARGIN_S - 1)
    assert rig.gate.reasons == {SWITCHOVER}
    rig.advance(2)
    assert rig.gate.open and rig.servers[0].config["min-replicas-to-write"] == FENCED
    assert any("redisproxy unfence" in line and _name(rig, 0) in line and _name(rig, 1) in line for line in logged)


def test_behind_another_proxy_the_fence_is_lifted_once_nothing_can_be_promoted_any_more(tmp_path: Path) -> None:
    lease_s = 0.5
    links = Links(lease_s)
    rig = links.rig = Rig(links, tmp_path, switchover={"pause_budget_ms": int(BUDGET_S * 1000)})
    rig.held_up["prove_watches"] = Deferred[None]()
    rig.name_server(rig.servers[1])
    Outcome(rig.operations.switchover(dry_run=False))
    rig.advance(1.0)
    die(rig)
    links.cut()
    rig.advance(BUDGET_S - 1.0)
    assert rig.gate.reasons == {SWITCHOVER} and rig.servers[0].config["min-replicas-to-write"] == FENCED
    rig.advance(lease_s + 0.7)
    assert rig.gate.open and rig.servers[0].config["min-replicas-to-write"] == "0" and is_served(rig, 0)
    links.connect()
    rig.end()


def test_a_new_control_plane_may_take_over_and_undo(rig: Rig, links: Links) -> None:
    standing = taken_over(rig, links)
    assert standing == Standing(_name(rig, 0), _name(rig, 1), (SWITCHOVER,), "nothing")
    rig.advance(BUDGET_S + MARGIN_S + 1)
    assert rig.gate.reasons == {SWITCHOVER}, "the data plane leaves it to the control plane"
    Outcome(links.remote.move.abandon())
    Outcome(links.remote.gate.release(SWITCHOVER))
    rig.advance(0.1)
    assert rig.gate.open and rig.local.in_force.settings.uplink.addr == _name(rig, 0)


def test_a_new_control_plane_may_take_over_and_go_on(rig: Rig, links: Links) -> None:
    taken_over(rig, links)
    orders: list[Deferred[Any]] = [
        links.remote.move.bring(),
        links.remote.move.swap(),
        links.remote.gate.release(SWITCHOVER),
    ]
    outcomes = [Outcome(order) for order in orders]
    rig.advance(0.5)
    assert not any(outcome.error for outcome in outcomes)
    assert rig.gate.open and rig.local.in_force.settings.uplink.addr == _name(rig, 1)


def taken_over(rig: Rig, links: Links) -> Standing:
    """The control plane dies behind the fence; a new one takes over before the data plane has asked the servers."""
    rig.held_up["bring"] = Deferred[None]()
    rig.name_server(rig.servers[1])
    Outcome(rig.operations.switchover(dry_run=False))
    rig.advance(1.0)
    die(rig)
    links.cut()
    del rig.held_up["bring"]
    return links.connect(take_over=True)


def test_what_was_begun_on_one_connection_is_not_ended_on_the_next(rig: Rig, links: Links) -> None:
    settings = rig.local.in_force.settings
    for order in (links.remote.move.prepare(settings), links.remote.gate.hold(RELOAD)):
        rig.advance(0.1)
        assert Outcome(order).error is None
    links.cut()
    links.connect()
    for late in (links.remote.move.swap(), links.remote.move.abandon(), links.remote.gate.release(RELOAD)):
        rig.advance(0.1)
        assert isinstance(Outcome(late).error, DataPlaneLost)
    again = Outcome(links.remote.gate.hold(RELOAD))
    Outcome(links.remote.gate.release(RELOAD))
    rig.advance(0.1)
    assert again.value.closed and rig.gate.open


def test_a_data_plane_that_runs_already_is_not_started_again(rig: Rig, links: Links) -> None:
    links.cut()
    links.connect()
    started = Outcome(links.remote.start())
    rig.advance(0.1)
    assert started.deferred.called and started.error is None and is_served(rig, 0)


def test_an_order_to_start_that_was_lost_is_given_again(rig: Rig, links: Links) -> None:
    links.cut()
    lost = Outcome(links.remote.start())
    with patch.object(LocalDataPlane, "start", return_value=succeed(None)) as start:
        links.served._started = False
        links.connect()
    assert isinstance(lost.error, DataPlaneLost) and start.call_count == 1


def test_of_two_control_planes_the_later_one_is_heard(rig: Rig, links: Links) -> None:
    first = links.ends
    held = Outcome(links.remote.gate.hold(RELOAD))
    rig.advance(0.1)
    links.connect()
    assert held.value.closed and first is not None and all(end.gone for end in first)
    assert rig.gate.open and is_served(rig, 0)


def test_nothing_is_noted_any_more(rig: Rig, links: Links) -> None:
    beginning = Outcome(links.remote.notes.begin(5.0))
    rig.advance(0.1)
    assert beginning.deferred.called and rig.local.core.notes.on
    links.cut()
    rig.advance(0.1)
    assert not rig.local.core.notes.on
    links.connect()
    taking = Outcome(links.remote.notes.take())
    rig.advance(0.1)
    assert isinstance(taking.error, DataPlaneLost)
    beginning = Outcome(links.remote.notes.begin(5.0))
    rig.advance(0.1)
    assert beginning.deferred.called and rig.local.core.notes.on
