"""Whatever ends in the middle of a handover: nobody has the client twice, nothing is left of it, counts are right."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import provider

from redisproxy.resp import encode_command as cmd
from tests.dataplane.simulated import LIMIT_S, Peer, Scene

QUIET_S = 8.0


def line(*texts: str) -> bytes:
    return b"".join(cmd(*text.split()) for text in texts)


STATES = {
    "idle": line("GET a"),
    "commands under way": line(*["INCR a"] * 40),
    "MULTI": line("MULTI", "SET a 1"),
    "WATCH": line("WATCH a"),
    "WATCH and MULTI": line("WATCH a", "MULTI", "SET a 1"),
    "blocked": line("BLPOP q 3"),
    "subscribed": line("SUBSCRIBE c", "PSUBSCRIBE c*"),
    "subscribed in RESP3": line("HELLO 3", "SUBSCRIBE c", "SSUBSCRIBE c"),
    "tracked": line("HELLO 3", "CLIENT TRACKING ON", "GET a"),
    "tracked with MULTI": line("HELLO 3", "CLIENT TRACKING ON", "WATCH a", "MULTI", "GET a"),
}
FAULTS = ["client leaves", "uplink", "new uplink", "hang", "pause", "new pause", "cancel", "refuse", "kill", "close"]


@pytest.fixture(autouse=True)
def nothing_is_logged() -> Iterator[None]:
    failures: list[str] = []

    @provider(ILogObserver)
    def observe(event: Any) -> None:
        if "log_failure" in event:
            failures.append(event["log_failure"].getTraceback())

    globalLogPublisher.addObserver(observe)
    yield
    gc.collect()
    globalLogPublisher.removeObserver(observe)
    assert not failures, failures[0]


class Crossing:
    """One client in one state, handed over, and what goes wrong meanwhile."""

    def __init__(self, seed: int, state: str) -> None:
        self.scene = Scene(seed)
        self.peer: Peer = self.scene.connect()
        self.peer.end.write(STATES[state])
        self.scene.run(0.05 if state != "commands under way" else 0.0003)
        self.inside = next(iter(self.scene.old.registry))
        self.over: list[Any] = []
        self.moving: Deferred[Any] = ensureDeferred(self.scene.handover.move([self.inside], LIMIT_S))
        self.moving.addCallbacks(self.over.append, self._failed)

    def _failed(self, failure: Any) -> None:
        failure.trap(CancelledError)
        self.over.append("cancelled")

    def break_(self, what: str) -> None:
        """Have this go wrong now."""
        scene = self.scene
        planes = {"new": scene.new, "old": scene.old}
        if what == "client leaves":
            self.peer.end.abortConnection()
        elif what in ("uplink", "new uplink"):
            registry = planes["new" if what.startswith("new") else "old"].uplinks.registry
            for connection in list(registry):
                connection.transport.peer.abortConnection()
        elif what == "hang":
            scene.server.hang(0.4)
        elif what in ("pause", "new pause"):
            plane = planes["new" if what.startswith("new") else "old"]
            plane.gate.close("operator")
            scene.clock.at(0.5, plane.gate.reopen, "operator")
        elif what == "cancel" and not self.moving.called:
            self.moving.cancel()
        elif what == "refuse":
            scene.new.registry.max_clients = 0
        elif what == "kill":
            for plane in planes.values():
                for client in plane.registry:
                    client.closing.drop("killed")
        elif what == "close":
            for plane in planes.values():
                for client in plane.registry:
                    client.closing.close()

    def check(self) -> None:
        """All is over."""
        scene = self.scene
        scene.nothing_is_left()
        assert self.over, "it has ended"
        clients = [*scene.old.registry, *scene.new.registry]
        assert len(clients) == (0 if self.peer.gone else 1), "it is in one place, or nowhere"
        assert not scene.new.registry._reserved and not scene.target._coming
        for plane in (scene.old, scene.new):
            held = {client.route.connection for client in plane.registry if client.route.pinned}
            for connection in plane.uplinks.registry:
                assert connection.holder is None or connection in held, "a connection is held by nobody who is there"

    def goes_on(self) -> None:
        """The client is there, and gets the reply to its next command."""
        before = len(self.peer.got)
        self.peer.end.write(cmd("PING"))
        self.scene.run(QUIET_S)
        assert self.peer.gone or len(self.peer.got) > before


@pytest.mark.parametrize("state", STATES)
def test_nothing_is_left_of_a_handover_that_is_disturbed(state: str) -> None:
    @settings(max_examples=120, deadline=None)
    @given(st.integers(0, 3), st.lists(st.tuples(st.sampled_from(FAULTS), st.floats(0, 0.012)), max_size=3))
    def check(seed: int, faults: list[tuple[str, float]]) -> None:
        crossing = Crossing(seed, state)
        for what, when in faults:
            crossing.scene.clock.at(when, crossing.break_, what)
        crossing.scene.run(QUIET_S)
        crossing.check()
        crossing.goes_on()
        crossing.check()

    check()
