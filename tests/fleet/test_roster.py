"""The names of the peers: one may stand for many, and what is not known for a moment changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, ensureDeferred, fail, succeed

from redisproxy.fleet.here import Here, SelfPortrait
from redisproxy.fleet.roster import ASK_S, Roster, Unreachable
from redisproxy.fleet.status import Status
from tests.control.rig import Outcome, Rig, same_process
from tests.simulation.network import SimNetwork

FLEET = {"listen": {"addr": "10.9.9.9:7012"}, "peers": ["peers.test:7012"], "secret": "only for this test"}


class Peers:
    """A roster whose name server gives these answers."""

    def __init__(self, folder: Path) -> None:
        self.rig = Rig(same_process, folder, fleet=FLEET)
        control = self.rig.control
        network = SimNetwork(self.rig.net)
        here = Here("me", control, self.rig.dataplane, control.configuration, network, self.rig.clock)
        self.answer: Deferred[list[str]] = succeed([])
        self.roster = Roster(here, lambda name: self.answer)
        self.status = Status(here, self.roster, SelfPortrait(here, lambda: False))

    def assemble(self) -> str:
        """Why they are not all there."""
        outcome = Outcome(ensureDeferred(self.roster.assembled()))
        self.rig.advance(3 * ASK_S)
        assert isinstance(outcome.error, Unreachable)
        return str(outcome.error)

    def unresolved(self) -> list[str]:
        told = self.status.short()
        assert told is not None and told["peers"] == len(self.roster.places)
        names: list[str] = told["unresolved"]
        return names


@pytest.fixture
def peers(tmp_path: Path) -> Peers:
    return Peers(tmp_path)


def test_one_name_stands_for_many_and_those_that_it_names_no_more_are_left(peers: Peers) -> None:
    peers.answer = succeed(["10.0.9.2", "10.0.9.1", "10.0.9.2"])
    assert "10.0.9.1:7012" in (why := peers.assemble()) and "10.0.9.2:7012" in why
    assert [str(each) for each in peers.roster.places] == ["10.0.9.1:7012", "10.0.9.2:7012"]
    peers.answer = succeed(["10.0.9.2"])
    assert "10.0.9.1" not in peers.assemble() and len(peers.roster.places) == 1
    peers.rig.end()


def test_a_name_without_an_answer_is_told_until_it_has_one_and_nobody_is_left_for_it(peers: Peers) -> None:
    peers.answer = succeed(["10.0.9.1"])
    peers.assemble()
    peers.answer = fail(OSError("no such name"))
    assert "peers.test:7012: the name can't be resolved: no such name" in peers.assemble()
    assert peers.unresolved() == ["peers.test:7012"] and len(peers.roster.places) == 1
    peers.answer = Deferred()
    again = Outcome(ensureDeferred(peers.roster.assembled()))
    assert peers.unresolved() == ["peers.test:7012"] and "can't be resolved" in str(peers.roster.faults)
    peers.rig.advance(3 * ASK_S)
    assert "can't be resolved" in str(again.error) and len(peers.roster.places) == 1
    peers.answer = succeed(["10.0.9.1"])
    peers.assemble()
    assert peers.unresolved() == []
    peers.rig.end()
