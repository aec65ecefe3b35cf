"""What one worker learns of scripts, the control process and all other workers know before anything else happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from redisproxy.dataplane import shared_value
from redisproxy.dataplane.interface import DataPlaneLost, NotSupported
from redisproxy.shared.script_cache import ScriptCache
from redisproxy.workers.known_scripts import AT_ONCE_BYTES, KnownScripts
from redisproxy.workers.telling_scripts import UNHEARD_BYTES, TellingScripts
from tests.workers.rig import Rig, now

BODIES = (b"return 1", b"return 2")


class Pupil:
    """Learns."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.knows: list[tuple[bytes, ...]] = []

    def learn(self, shared: bytes) -> Deferred[None]:
        self.knows.append(shared_value.scripts_of(shared))
        return succeed(None) if self.error is None else fail(self.error)


class Teller:
    """The scripts of one data plane, and what is heard of them."""

    def __init__(self) -> None:
        self.cache = ScriptCache(100 * AT_ONCE_BYTES)
        self.calls: dict[Callable[[], None], None] = {}
        self.heard: list[tuple[bytes, ...]] = []
        self.answers: list[Deferred[None]] = []
        self.telling = TellingScripts(self.cache, self._hear, lambda call: self.calls.setdefault(call))

    def _hear(self, shared: bytes) -> Deferred[None]:
        self.heard.append(shared_value.scripts_of(shared))
        self.answers.append(Deferred())
        return self.answers[-1]

    def see(self, *bodies: bytes) -> None:
        for body in bodies:
            self.cache.see([b"EVAL", body, b"0"])

    def end_turn(self) -> None:
        calls, self.calls = self.calls, {}
        for call in calls:
            call()


def test_new_scripts_are_told_together_at_the_end_of_the_turn_and_once() -> None:
    teller = Teller()
    teller.see(*BODIES, BODIES[0])
    assert not teller.heard
    teller.end_turn()
    assert teller.heard == [BODIES]
    teller.see(BODIES[0])
    assert not teller.calls, "nothing wakes a worker whose scripts are known"


def test_whoever_comes_next_is_told_all_of_them() -> None:
    teller = Teller()
    teller.see(*BODIES)
    teller.end_turn()
    teller.answers.pop().errback(DataPlaneLost("killed"))
    teller.telling.tell_all()
    assert teller.heard == [BODIES, BODIES]


def test_what_nobody_hears_is_bounded() -> None:
    teller = Teller()
    for at in range(20):
        teller.see(b"%02d" % at + bytes(AT_ONCE_BYTES))
        teller.end_turn()
    assert sum(len(body) for told in teller.heard for body in told) <= UNHEARD_BYTES + AT_ONCE_BYTES
    while teller.answers:
        teller.answers.pop().callback(None)
    assert [body[:2] for told in teller.heard for body in told] == [b"%02d" % at for at in range(20)]


def test_others_learn_what_is_new_and_whoever_joins_learns_all() -> None:
    first, second, lost, old = Pupil(), Pupil(), Pupil(DataPlaneLost("lost")), Pupil(NotSupported("old"))
    pupils: list[Any] = [first, second, lost, old]
    known = KnownScripts(lambda: pupils, lambda: 1000)
    now(known.heard(shared_value.of_scripts(BODIES), of=first))
    now(known.heard(shared_value.of_scripts((*BODIES, b"return 3")), of=second))
    assert first.knows == [(b"return 3",)] and second.knows == [BODIES]
    late = Pupil()
    known.teach(late)
    assert late.knows == [(*BODIES, b"return 3")]


def test_the_next_server_gets_the_scripts_of_a_worker_that_is_lost_in_the_move() -> None:
    rig = Rig()
    rig.move.prepare(rig.settings(1))
    first = rig.workers[0]
    rig.members.scripts.heard(shared_value.of_scripts(BODIES), of=first)
    first.end("killed")
    connecting = rig.move.connect()
    rig.advance(0.5)
    now(connecting)
    assert len(rig.servers[1].scripts) == len(BODIES)
    now(rig.move.abandon())
    rig.end()
