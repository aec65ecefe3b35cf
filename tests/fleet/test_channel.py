"""Two peers prove to each other that they belong to one fleet; nobody else learns, changes or holds up anything."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from redisproxy.fleet.channel import PROVE_S, Channel
from redisproxy.fleet.door import MAX_UNPROVEN, MAX_UNPROVEN_OF_HOST, Door
from redisproxy.fleet.orders import Unpause
from redisproxy.fleet.proof import (
    GREETING,
    MAX_MESSAGE_BYTES,
    NONCE_BYTES,
    PROOF_BYTES,
    NotProven,
    Proof,
    Sealed,
)
from redisproxy.fleet.unsent import MAX_UNSENT_BYTES
from redisproxy.remote.link import Link
from redisproxy.remote.order_client import OrderClient
from redisproxy.remote.order_server import OrderServer
from tests.remote.pair import PipeEnd, pipe

SECRET = b"a secret of some length"
STEP_S = 0.01


class Judge:
    """Notes what becomes of a channel."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def arrived(self, channel: Channel) -> None: ...

    def proven(self, channel: Channel) -> None:
        self.said.append("proven")

    def refused(self, channel: Channel, why: str) -> None:
        self.said.append(why)

    def ended(self, channel: Channel) -> None:
        self.said.append("ended")


class Pair:
    """Both ends of a connection, each with its secret."""

    def __init__(self, callers: bytes = SECRET, listeners: bytes = SECRET) -> None:
        self.clock = Clock()
        self.calls: list[str] = []
        self.caller, self.listener = Judge(), Judge()
        near = Channel(callers, True, self._client, self.caller, self.clock)
        far = Channel(listeners, False, self._server, self.listener, self.clock)
        self.far = far
        self.ends = pipe(self.clock, near, far)
        self.run()

    def _client(self) -> Link:
        self.client = OrderClient(self.clock, lambda link: None, beat_s=0.5)
        return self.client

    def _server(self) -> Link:
        return OrderServer(self.clock, {Unpause: self._unpause}, lambda link: None, silence_s=2.0)

    def _unpause(self) -> dict[str, Any]:
        self.calls.append("unpause")
        return {"state": "running", "text": "x" * 3 * MAX_MESSAGE_BYTES}

    def run(self, seconds: float = 0.2) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.clock.advance(STEP_S)

    @property
    def wire(self) -> bytes:
        return bytes(self.ends[0].sent + self.ends[1].sent)


def result_of(deferred: Any) -> Any:
    results: list[Any] = []
    deferred.addBoth(results.append)
    return results


def test_with_the_same_secret_orders_cross_and_the_secret_does_not() -> None:
    pair = Pair()
    greeted = result_of(ensureDeferred(pair.client.greet()))
    pair.run()
    answered = result_of(pair.client.give(Unpause))
    pair.run()
    assert greeted == [None] and answered[0]["state"] == "running" and pair.calls == ["unpause"]
    assert pair.caller.said == pair.listener.said == ["proven"]
    assert SECRET not in pair.wire


def test_with_another_secret_both_are_disconnected_and_no_link_speaks() -> None:
    pair = Pair(listeners=b"another secret of some length")
    assert pair.listener.said == ["the other side has another secret", "ended"]
    assert "is the secret the same?" in pair.caller.said[0]
    assert not hasattr(pair, "client") and all(end.gone for end in pair.ends)


def test_a_caller_learns_nothing_before_it_has_proven_itself() -> None:
    pair = Pair(callers=b"another secret of some length")
    said = bytes(pair.ends[1].sent)
    assert said[: len(GREETING)] == GREETING and len(said) == len(GREETING) + NONCE_BYTES


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100_000, b"*1\r\n$4\r\nPING\r\n"])
def test_whoever_does_not_greet_is_disconnected_at_once(sent: bytes) -> None:
    clock, judge = Clock(), Judge()
    channel = Channel(SECRET, False, lambda: Link(clock, lambda link: None), judge, clock)
    end = stranger(clock, channel)
    channel.dataReceived(sent)
    clock.advance(0.1)
    assert end.gone and end.sent == b"" and judge.said[0] == "it has sent something else than a greeting"


def test_whoever_is_too_slow_is_disconnected() -> None:
    clock, judge = Clock(), Judge()
    channel = Channel(SECRET, False, lambda: Link(clock, lambda link: None), judge, clock)
    end = stranger(clock, channel)
    for byte in (GREETING + b"n" * NONCE_BYTES)[:10]:
        channel.dataReceived(bytes([byte]))
        clock.advance(PROVE_S / 11)
    assert not end.gone
    clock.advance(PROVE_S)
    clock.advance(0.1)
    assert end.gone and "within 5 s" in judge.said[0] and not clock.getDelayedCalls()


def test_a_proof_that_is_sent_back_proves_nothing() -> None:
    clock, judge = Clock(), Judge()
    channel = Channel(SECRET, True, lambda: Link(clock, lambda link: None), judge, clock)
    end = stranger(clock, channel)
    channel.dataReceived(GREETING + b"n" * NONCE_BYTES)
    own = bytes(end.sent)[-PROOF_BYTES:]
    channel.dataReceived(own)
    assert judge.said[0] == "the other side has another secret"


def test_a_peer_that_does_not_read_its_answers_is_disconnected() -> None:
    pair = Pair()
    result_of(ensureDeferred(pair.client.greet()))
    pair.run()
    most = MAX_UNSENT_BYTES // (3 * MAX_MESSAGE_BYTES)
    pair.ends[1].producer.pauseProducing()
    for _ in range(most - 1):
        result_of(pair.client.give(Unpause))
        pair.run(STEP_S)
    assert not pair.ends[1].gone
    pair.ends[1].producer.resumeProducing()
    pair.ends[1].producer.pauseProducing()
    for _ in range(most + 1):
        result_of(pair.client.give(Unpause))
        pair.run(STEP_S)
    pair.run()
    assert pair.ends[1].gone and pair.listener.said == ["proven", "ended"]


def stranger(clock: Clock, channel: Channel) -> PipeEnd:
    """The transport of `channel`, whose other end says nothing."""
    end, other = PipeEnd(clock, 0.0), PipeEnd(clock, 0.0)
    end.peer, other.peer = other, end
    end.protocol, other.protocol = channel, Channel(b"", True, lambda: Link(clock, lambda link: None), Judge(), clock)
    channel.makeConnection(end)
    return end


def sealed_pair() -> tuple[Sealed, Sealed]:
    nonces = b"c" * NONCE_BYTES, b"l" * NONCE_BYTES
    near, far = Proof(SECRET, True, *nonces), Proof(SECRET, False, *nonces)
    return Sealed(*near.seals()), Sealed(*far.seals())


def test_what_is_sealed_arrives_however_it_is_cut() -> None:
    near, far = sealed_pair()
    data = near.sealed(b"x" * 50_000) + near.sealed(b"y")
    assert b"".join(far.opened(data[at : at + 7]) for at in range(0, len(data), 7)) == b"x" * 50_000 + b"y"


@pytest.mark.parametrize("how", ["changed", "repeated", "left out", "sent back", "too large"])
def test_what_somebody_else_has_a_hand_in_is_refused(how: str) -> None:
    near, far = sealed_pair()
    one, two = near.sealed(b"one"), near.sealed(b"two")
    data = {
        "changed": one[:-1] + b"!",
        "repeated": one + one,
        "left out": two,
        "sent back": far.sealed(b"one"),
        "too large": (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big") + bytes(16),
    }[how]
    with pytest.raises(NotProven):
        far.opened(data)


def test_only_so_many_of_a_host_may_be_at_proving_themselves() -> None:
    clock = Clock()
    door = Door(lambda: SECRET, lambda: Link(clock, lambda link: None), clock)
    one, other = IPv4Address("TCP", "10.0.0.1", 1), IPv4Address("TCP", "10.0.0.2", 1)
    made = [door.buildProtocol(one) for _ in range(MAX_UNPROVEN_OF_HOST)]
    for channel in made:
        stranger(clock, channel)
    assert door.buildProtocol(one) is None and door.buildProtocol(other) is not None
    clock.advance(PROVE_S)
    clock.advance(0.1)
    assert door.buildProtocol(one) is not None, "those that were too slow do not count any more"


def arrives(clock: Clock, door: Door, host: str) -> PipeEnd:
    """One that connects, of which nothing is known before; the end at the port."""
    channel = door.buildProtocol(None)
    end, other = PipeEnd(clock, 0.0), PipeEnd(clock, 0.0)
    end.peer, other.peer = other, end
    end.protocol, other.protocol = channel, Channel(b"", True, lambda: Link(clock, lambda link: None), Judge(), clock)
    with patch.object(PipeEnd, "getPeer", lambda self: IPv4Address("TCP", host, 1)):
        channel.makeConnection(end)
    clock.advance(0.01)
    return end


def test_whoever_fills_the_port_from_one_host_keeps_nobody_else_out() -> None:
    clock = Clock()
    door = Door(lambda: SECRET, lambda: Link(clock, lambda link: None), clock)
    silent = [arrives(clock, door, "10.0.0.1") for _ in range(MAX_UNPROVEN_OF_HOST + 5)]
    assert [end.gone for end in silent] == [False] * MAX_UNPROVEN_OF_HOST + [True] * 5
    assert not arrives(clock, door, "10.0.0.2").gone


def test_whoever_fills_the_port_from_many_hosts_makes_way_for_who_comes_later() -> None:
    clock = Clock()
    door = Door(lambda: SECRET, lambda: Link(clock, lambda link: None), clock)
    silent = [arrives(clock, door, f"10.0.1.{at}") for at in range(MAX_UNPROVEN)]
    later = [arrives(clock, door, "10.0.0.2") for _ in range(3)]
    clock.advance(0.1)
    assert [end.gone for end in silent] == [True] * 3 + [False] * (MAX_UNPROVEN - 3)
    assert not any(end.gone for end in later)
    clock.advance(PROVE_S)
    clock.advance(0.1)
    assert not door._channels and not door._hosts and not door._unproven
