"""What a proxy does as a peer in an operation that another one leads."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, ensureDeferred

from redisproxy.dataplane.interface import SWITCHOVER, Rejected
from redisproxy.fleet.caller import Caller
from redisproxy.fleet.here import Here, SelfPortrait
from redisproxy.fleet.led import Led
from redisproxy.fleet.led_failover import LedFailover
from redisproxy.fleet.vigil import Vigil
from redisproxy.remote import orders
from redisproxy.remote.order_server import OrderServer
from tests.control.rig import Outcome, Rig, same_process
from tests.simulation.network import SimNetwork


def here_of(rig: Rig) -> Here:
    control = rig.control
    return Here("me", control, rig.dataplane, control.configuration, SimNetwork(rig.net), rig.clock)


def test_nobody_leads_here_while_the_servers_are_asked_where_the_last_operation_has_led(tmp_path: Path) -> None:
    rig = Rig(same_process, tmp_path)
    here, settling = here_of(rig), [True]
    portrait, told = SelfPortrait(here, lambda: False), list[Led | LedFailover | None]()
    caller = Caller(here, portrait, rig.operations, Vigil(here), told.append, lambda: settling[0])
    with pytest.raises(Rejected, match="the servers are being asked"):
        caller._claim(SWITCHOVER)
    assert not rig.control.exclusion.running
    settling[0] = False
    caller._claim(SWITCHOVER)
    assert "led by" in rig.control.exclusion.running and told
    dismissed = Outcome(ensureDeferred(caller._dismiss({})))
    rig.advance(0.1)
    assert dismissed.deferred.called
    rig.end()


def test_a_leader_that_is_lost_while_it_dismisses_its_peer_disturbs_nothing_that_comes_after(tmp_path: Path) -> None:
    rig = Rig(same_process, tmp_path)
    control, here = rig.control, here_of(rig)
    link = OrderServer(rig.clock, {}, lambda link: None)
    led = Led(here, SWITCHOVER, "another", "10.0.9.1:7012", link, Vigil(here))
    led.begin()
    rig.advance(0.01)
    held = Outcome(led.side.give(orders.HoldGate, reason=SWITCHOVER))
    rig.advance(0.01)
    assert held.deferred.called and rig.gate.reasons == {SWITCHOVER}
    rig.held_up["abandon"] = held_up = Deferred[None]()
    dismissed = Outcome(ensureDeferred(led.dismiss({})))
    led.lost(link)
    del rig.held_up["abandon"]
    held_up.callback(None)
    rig.advance(0.01)
    assert dismissed.deferred.called and not control.exclusion.running
    rig.orders.clear()
    rig.advance(10)
    assert not rig.orders, "another operation may run by now"
    rig.end()
