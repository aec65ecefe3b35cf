"""Sockets that change their transport: nothing is lost, doubled or reordered, and the old transport keeps nothing."""

from __future__ import annotations

import os
import random
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redisproxy.config import UnixAddress
from redisproxy.net.detached import DetachedSocket, NotDetachable
from redisproxy.net.sockets import set_keepalive
from redisproxy.net.twisted_network import TwistedNetwork
from tests.end_to_end.harness import Certificates, wait_until
from tests.net.bed import NETWORKS, Bed, Recorder, Server, call, reactor, read_all

pytestmark = pytest.mark.usefixtures("running_reactor")

LARGE = random.Random(1).randbytes(6_000_000)


class Pausing(Recorder):
    """Wants nothing at first."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.transport.pauseProducing()


class Failing(Recorder):
    """Raises where it is told to."""

    def __init__(self, when: str) -> None:
        super().__init__()
        self._when = when

    def connectionMade(self) -> None:
        super().connectionMade()
        if self._when == "made":
            raise RuntimeError("planted")

    def dataReceived(self, data: bytes) -> None:
        raise RuntimeError("planted")


@pytest.fixture
def plain(network: Any) -> Iterator[Bed]:
    bed = Bed(network)
    yield bed
    call(bed.port.stopListening)


def detach(protocol: Recorder) -> DetachedSocket:
    detached: DetachedSocket = call(protocol.transport.detach)
    return detached


def adopt(bed: Bed, detached: DetachedSocket, make: Callable[[], Recorder] = Recorder) -> Recorder:
    protocol: Recorder = call(bed.network.adopt, detached, make)
    return protocol


def accepted(bed: Bed, peer: socket.socket) -> Recorder:
    """The other side of `peer`, from which nothing comes by itself any more."""
    peer.sendall(b"?")
    protocol = bed.server.last
    wait_until(lambda: protocol.data == b"?", "the first byte comes", 5)
    protocol.on_data = lambda _, data: None
    assert peer.recv(1) == b"?"
    protocol.data = b""
    return protocol


def comes(protocol: Recorder, data: bytes) -> None:
    wait_until(lambda: len(protocol.data) >= len(data), f"{len(data)} bytes come", 10)
    assert protocol.data == data


def read_exactly(peer: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = peer.recv(min(size - len(data), 1 << 20))
        assert chunk, "the connection has ended"
        data += chunk
    return bytes(data)


def watched() -> set[int]:
    """Every descriptor that is registered at any epoll descriptor of this process."""
    found: set[int] = set()
    for info in Path("/proc/self/fdinfo").iterdir():
        try:
            found |= {int(fd) for fd in re.findall(r"^tfd:\s+(\d+)", info.read_text(), re.M)}
        except OSError:
            continue
    return found


def test_a_client_goes_on_at_another_transport(plain: Bed) -> None:
    with plain.connect() as peer:
        old = accepted(plain, peer)
        host, port = call(old.transport.getPeer), call(old.transport.getHost)
        detached = detach(old)
        assert (detached.unread, detached.unsent) == (b"", b"")
        peer.sendall(b"more")
        new = adopt(plain, detached)
        comes(new, b"more")
        call(new.transport.write, b"answer")
        assert read_exactly(peer, 6) == b"answer"
        assert (call(new.transport.getPeer), call(new.transport.getHost)) == (host, port)
        assert host.port == peer.getsockname()[1]
        assert call(new.transport.getTcpNoDelay)
        call(set_keepalive, new.transport, 33, 5, 2)
        assert detached.fd == call(new.transport.fileno)
    assert old.events == ["made"] and old.data == b""
    wait_until(lambda: "half" in new.events, "the end comes", 5)
    call(new.transport.loseConnection)
    wait_until(lambda: new.events == ["made", "half", "lost"], "it is closed", 5)


def test_a_detached_transport_keeps_nothing_and_does_nothing(plain: Bed) -> None:
    with plain.connect() as peer:
        old = accepted(plain, peer)
        call(old.transport.registerProducer, old, True)
        call(old.transport.write, LARGE)
        call(old.transport.pauseProducing)
        assert call(old.transport.fileno) in watched()
        before = call(reactor.getDelayedCalls)
        detached = detach(old)
        assert detached.fd not in watched()
        assert old.transport not in call(lambda: reactor.getReaders() + reactor.getWriters())
        assert call(reactor.getDelayedCalls) == before
        for act in ("resumeProducing", "pauseProducing", "unregisterProducer", "loseConnection", "abortConnection"):
            call(getattr(old.transport, act))
        call(old.transport.write, b"lost")
        call(old.transport.writeSequence, [b"lost"])
        assert not call(lambda: old.transport.detachable)
        with pytest.raises(NotDetachable, match="lost"):
            detach(old)
        assert old.events == ["made", "pause"]
        new = adopt(plain, detached)
        call(new.transport.write, b".")
        assert read_exactly(peer, len(LARGE) + 1) == LARGE + b"."
        call(new.transport.abortConnection)


def test_what_was_not_sent_leaves_first(plain: Bed) -> None:
    with plain.connect() as peer:
        old = accepted(plain, peer)
        call(old.transport.write, LARGE[:3_000_000])
        call(old.transport.write, LARGE[3_000_000:])
        call(lambda: None)
        detached = detach(old)
        assert len(detached.unsent) > 0 and LARGE.endswith(detached.unsent)
        new = adopt(plain, detached)
        call(new.transport.registerProducer, new, True)
        call(new.transport.write, b"first")
        assert new.events == ["made", "pause"]
        call(new.transport.write, b"second")
        assert read_exactly(peer, len(LARGE) + 11) == LARGE + b"firstsecond"
        wait_until(lambda: new.events[-1] == "resume", "the producer is resumed", 5)
        call(new.transport.unregisterProducer)
        call(new.transport.loseConnection)
        assert read_all(peer) == b""
    assert old.events == ["made"]


def test_a_protocol_can_detach_while_it_is_given_something(plain: Bed) -> None:
    moved: list[Recorder] = []

    def move(protocol: Recorder, data: bytes) -> None:
        protocol.transport.write(b"unsent" * 500_000)
        moved.append(plain.network.adopt(protocol.transport.detach(), Recorder))

    with plain.connect() as peer:
        old = accepted(plain, peer)
        old.on_data = move
        peer.sendall(b"one")
        wait_until(lambda: moved, "it has moved", 5)
        peer.sendall(b"two")
        assert read_exactly(peer, 3_000_000) == b"unsent" * 500_000
        comes(moved[0], b"two")
        assert old.data == b"one" and old.events == ["made"]
        call(moved[0].transport.abortConnection)


@pytest.mark.parametrize("when", ["pauseProducing", "resumeProducing"])
def test_a_producer_can_detach_when_it_is_told_something(plain: Bed, when: str) -> None:
    got: list[DetachedSocket] = []
    with plain.connect() as peer:
        old = accepted(plain, peer)
        setattr(old, when, lambda: got.append(old.transport.detach()))
        call(old.transport.registerProducer, old, True)
        call(old.transport.write, LARGE)
        reading = threading.Thread(target=read_exactly, args=(peer, len(LARGE)))
        reading.start()
        wait_until(lambda: got, "it is detached", 10)
        new = adopt(plain, got.pop())
        reading.join(10)
        assert not reading.is_alive()
        call(new.transport.write, b"next")
        assert read_exactly(peer, 4) == b"next"
        call(new.transport.abortConnection)


def test_what_is_unread_comes_before_what_arrives_and_only_when_it_is_wanted(plain: Bed) -> None:
    with plain.connect() as peer:
        detached = detach(accepted(plain, peer))
        peer.sendall(b"later")
        new = adopt(plain, replace(detached, unread=b"early "), Pausing)
        for _ in range(3):
            call(lambda: None)
        assert new.data == b""
        call(new.transport.resumeProducing)
        comes(new, b"early later")
        call(new.transport.abortConnection)


def test_what_is_unread_does_not_come_before_adopting_has_returned(plain: Bed) -> None:
    def act(detached: DetachedSocket) -> tuple[Recorder, bytes]:
        protocol = plain.network.adopt(replace(detached, unread=b"early"), Recorder)
        return protocol, protocol.data

    with plain.connect() as peer:
        new, seen = call(act, detach(accepted(plain, peer)))
        assert seen == b""
        comes(new, b"early")
        call(new.transport.abortConnection)


def test_what_is_unread_goes_along_when_it_is_detached_again(plain: Bed) -> None:
    def act(detached: DetachedSocket) -> DetachedSocket:
        before = reactor.getDelayedCalls()
        first = plain.network.adopt(replace(detached, unread=b"un", unsent=b"sent"), Recorder)
        first.transport.write(b" more")
        again: DetachedSocket = first.transport.detach()
        # The hub of the compiled transports has one timer for all of them.
        assert reactor.getDelayedCalls() == before or plain.network.name == "native"
        assert first.data == b"" and first.events == ["made"]
        return again

    with plain.connect() as peer:
        again = call(act, detach(accepted(plain, peer)))
        assert (again.unread, again.unsent) == (b"un", b"sent more")
        peer.sendall(b"read")
        new = adopt(plain, again)
        comes(new, b"unread")
        assert read_exactly(peer, 9) == b"sent more"
        call(new.transport.abortConnection)


@pytest.mark.parametrize("act", ["loseConnection", "abortConnection"])
def test_what_is_unread_does_not_come_after_a_close(plain: Bed, act: str) -> None:
    def close_at_once(detached: DetachedSocket) -> Recorder:
        new: Recorder = plain.network.adopt(replace(detached, unread=b"early"), Recorder)
        getattr(new.transport, act)()
        return new

    with plain.connect() as peer:
        new = call(close_at_once, detach(accepted(plain, peer)))
        wait_until(lambda: "lost" in new.events, "it is closed", 5)
        call(lambda: None)
        assert new.data == b"" and new.events == ["made", "lost"]
        assert read_all(peer) == b""


@pytest.mark.parametrize("noticed", [True, False], ids=["read", "not read"])
def test_the_end_of_the_input_is_read_by_the_next_transport_after_all_bytes(plain: Bed, noticed: bool) -> None:
    with plain.connect() as peer:
        old = accepted(plain, peer)
        if not noticed:
            call(old.transport.pauseProducing)
        peer.sendall(b"last words")
        peer.shutdown(socket.SHUT_WR)
        if noticed:
            wait_until(lambda: "half" in old.events, "the end is noticed", 5)
        call(old.transport.write, LARGE)
        detached = detach(old)
        assert detached.unsent
        order: list[str] = []
        new = adopt(plain, replace(detached, unread=b"early "), Pausing)
        new.on_data = lambda protocol, data: order.append("half" if "half" in protocol.events else "data")
        call(new.transport.resumeProducing)
        wait_until(lambda: "half" in new.events, "the end comes", 5)
        assert old.data + new.data == (b"last wordsearly " if noticed else b"early last words")
        assert set(order) == {"data"}
        call(new.transport.write, b"!")
        assert read_exactly(peer, len(LARGE) + 1) == LARGE + b"!"
        call(new.transport.loseConnection)
        assert read_all(peer) == b""
    wait_until(lambda: new.events == ["made", "half", "lost"], "it is closed", 5)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_peer_that_goes_between_two_transports_is_lost_for_the_next_one(plain: Bed, reset: bool) -> None:
    peer = plain.connect()
    old = accepted(plain, peer)
    detached = detach(old)
    if reset:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    new = adopt(plain, replace(detached, unsent=b"answer"))
    call(new.transport.write, b"another")
    if not reset:
        wait_until(lambda: "half" in new.events or "lost" in new.events, "the end comes", 5)
        call(new.transport.write, b"into the void")
    wait_until(lambda: "lost" in new.events, "it is lost", 5)
    assert old.events == ["made"] and new.events[0] == "made" and new.events.count("lost") == 1


@pytest.mark.parametrize("act", ["loseConnection", "loseWriteConnection"])
def test_a_transport_that_is_closing_keeps_its_socket_and_sends_everything(plain: Bed, act: str) -> None:
    with plain.connect() as peer:
        old = accepted(plain, peer)
        call(old.transport.write, LARGE)
        call(getattr(old.transport, act))
        assert not call(lambda: old.transport.detachable)
        with pytest.raises(NotDetachable, match="closing"):
            detach(old)
        assert read_all(peer) == LARGE
        if act == "loseWriteConnection":
            with pytest.raises(NotDetachable, match="closing"):
                detach(old)
    wait_until(lambda: "lost" in old.events or "half" in old.events, "the end comes", 5)
    call(old.transport.abortConnection)


def test_an_aborted_or_lost_transport_has_no_socket_to_give(plain: Bed) -> None:
    def abort(protocol: Recorder) -> None:
        protocol.transport.abortConnection()
        with pytest.raises(NotDetachable, match="closing"):
            protocol.transport.detach()

    peer = plain.connect()
    old = accepted(plain, peer)
    call(abort, old)
    wait_until(lambda: old.events == ["made", "lost"], "it is lost", 5)
    with pytest.raises(NotDetachable, match="lost"):
        detach(old)
    peer.close()


def test_tls_stays_where_it_is(network: Any, certificates: Certificates) -> None:
    bed = Bed(network, certificates)
    with bed.connect() as peer:
        peer.sendall(b"a")
        assert peer.recv(1) == b"a"
        transport = bed.server.last.transport
        assert call(lambda: transport.detachable) is False
        with pytest.raises(NotDetachable, match="TLS"):
            call(transport.detach)
        peer.sendall(b"b")
        assert peer.recv(1) == b"b"
        client = call(network.connect, bed.address, Recorder, bed.client_tls(), 5.0)
        with pytest.raises(NotDetachable, match="TLS"):
            call(client.transport.detach)
        call(client.transport.loseConnection)
    call(bed.port.stopListening)


@pytest.mark.skipif("native" not in NETWORKS, reason="needs the compiled module")
def test_twisted_tls_on_a_compiled_transport_stays_where_it_is(
    running_reactor: None, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    from redisproxy.net import native_network

    monkeypatch.setattr(native_network, "DIRECT_TLS", False)
    test_tls_stays_where_it_is(call(native_network.NativeNetwork, reactor), certificates)


def test_a_client_on_a_unix_socket_goes_on(network: Any, tmp_path: Path) -> None:
    server = Server()
    port = call(network.listen, UnixAddress(str(tmp_path / "s")), server, None, 5)
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(tmp_path / "s"))
        peer.sendall(b"?")
        assert peer.recv(1) == b"?"
        call(server.last.transport.write, LARGE)
        host = call(server.last.transport.getHost)
        detached = detach(server.last)
        assert LARGE.endswith(detached.unsent) and detached.unsent
        new = call(network.adopt, replace(detached, unread=b"un"), Recorder)
        assert call(new.transport.getHost) == host
        peer.sendall(b"read")
        comes(new, b"unread")
        assert read_exactly(peer, len(LARGE)) == LARGE
    wait_until(lambda: "half" in new.events or "lost" in new.events, "the end comes", 5)
    call(new.transport.abortConnection)
    call(port.stopListening)


def test_a_socket_can_be_sent_away_and_closed_here(plain: Bed) -> None:
    here, there = socket.socketpair()
    with here, there, plain.connect() as peer:
        detached = detach(accepted(plain, peer))
        socket.send_fds(here, [b"."], [detached.fd])
        detached.close()
        _, fds, _, _ = socket.recv_fds(there, 1, 1)
        new = adopt(plain, DetachedSocket(fds[0]))
        assert not os.get_inheritable(fds[0])
        peer.sendall(b"still here")
        comes(new, b"still here")
        call(new.transport.abortConnection)


def test_sockets_go_from_each_network_to_each_other(running_reactor: None) -> None:
    networks = [TwistedNetwork(reactor)]
    if "native" in NETWORKS:
        from redisproxy.net.native_network import NativeNetwork

        networks.append(call(NativeNetwork, reactor))
    bed = Bed(networks[0])
    with bed.connect() as peer:
        protocol = accepted(bed, peer)
        for network in [*networks, *networks]:
            call(protocol.transport.write, b"a" * 2_000_000)
            protocol = call(network.adopt, detach(protocol), Recorder)
            peer.sendall(b"x")
            comes(protocol, b"x")
            assert read_exactly(peer, 2_000_000) == b"a" * 2_000_000
        call(protocol.transport.abortConnection)
    call(bed.port.stopListening)


def test_what_can_not_be_adopted_stays_with_the_caller(plain: Bed) -> None:
    def fail() -> Recorder:
        raise RuntimeError("planted")

    with plain.connect() as peer:
        detached = detach(accepted(plain, peer))
        with pytest.raises(RuntimeError, match="planted"):
            adopt(plain, detached, fail)
        new = adopt(plain, detached)
        call(new.transport.write, b"a")
        assert peer.recv(1) == b"a"
        call(new.transport.abortConnection)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(ValueError, match="stream"):
            adopt(plain, DetachedSocket(datagrams.fileno()))
        assert datagrams.getsockname() == ("0.0.0.0", 0)
    reading, writing = os.pipe()
    with pytest.raises(OSError):
        adopt(plain, DetachedSocket(reading))
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("when", ["made", "data"])
def test_a_protocol_that_fails_at_an_adopted_socket_costs_its_connection(plain: Bed, when: str) -> None:
    with plain.connect() as peer:
        detached = detach(accepted(plain, peer))
        new = adopt(plain, replace(detached, unread=b"early"), lambda: Failing(when))
        assert read_all(peer) == b""
    wait_until(lambda: new.events == ["made", "lost"], "it is closed", 5)


def test_moving_many_times_leaks_no_descriptor(plain: Bed) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    with plain.connect() as peer:
        protocol = accepted(plain, peer)
        before = descriptors()
        for count in range(50):
            protocol = adopt(plain, replace(detach(protocol), unread=b"e", unsent=b"s"))
            wait_until(lambda: protocol.data == b"e", f"move {count}", 5)  # noqa: B023
        assert descriptors() == before
        assert read_exactly(peer, 50) == b"s" * 50
        call(protocol.transport.loseConnection)
        assert read_all(peer) == b""
    wait_until(lambda: descriptors() == before - 2, "both ends are closed", 5)


class Stream:
    """One connection whose server side moves between transports, and what has come out of it."""

    def __init__(self, bed: Bed, peer: socket.socket) -> None:
        self._bed = bed
        self.peer = peer
        self.sent = self.written = 0
        self.arrived, self.read = bytearray(), bytearray()
        self.protocol = accepted(bed, peer)
        self.protocol.on_data = self._take
        self._paused = False
        self._moving = 0
        peer.setblocking(False)

    def _take(self, protocol: Recorder, data: bytes) -> None:
        assert protocol is self.protocol, "a transport that has let its socket go has read"
        self.arrived += data
        if self._moving:
            self._moving -= 1
            self._move(len(data) // 2)

    def _make(self) -> Recorder:
        protocol = Recorder()
        protocol.on_data = self._take
        return protocol

    def _move(self, untaken: int) -> None:
        """Move; the last bytes that have arrived count as not taken, as a session's do that has to wait."""
        detached = self.protocol.transport.detach()
        tail = bytes(self.arrived[len(self.arrived) - untaken :])
        del self.arrived[len(self.arrived) - untaken :]
        self.protocol = self._bed.network.adopt(replace(detached, unread=tail + detached.unread), self._make)
        if self._paused:
            self.protocol.transport.pauseProducing()

    def do(self, step: str, size: int) -> None:
        """One step of the test, in its thread."""
        if step == "send":
            try:
                self.sent += self.peer.send(LARGE[self.sent : self.sent + size])
            except BlockingIOError:
                self.drain(100_000)
        elif step == "drain":
            self.drain(size)
        else:
            call(getattr(self, step), size)

    def drain(self, size: int) -> None:
        """Have the peer read up to so much of what is there."""
        try:
            self.read += self.peer.recv(size)
        except BlockingIOError:
            return

    def write(self, size: int) -> None:
        self.protocol.transport.write(LARGE[self.written : self.written + size])
        self.written += len(LARGE[self.written : self.written + size])

    def move(self, size: int) -> None:
        self._move(min(size, len(self.arrived)))

    def move_twice(self, size: int) -> None:
        self.move(size)
        self.move(size)

    def move_amid(self, size: int) -> None:
        self._moving = 1 + size % 3

    def pause(self, size: int) -> None:
        self._paused = True
        self.protocol.transport.pauseProducing()

    def resume(self, size: int) -> None:
        self._paused = False
        self.protocol.transport.resumeProducing()

    def finish(self) -> None:
        """Let everything arrive, and end from both sides."""
        call(self.resume, 0)
        self.peer.shutdown(socket.SHUT_WR)
        self.peer.setblocking(True)
        self.read += read_exactly(self.peer, self.written - len(self.read))
        wait_until(lambda: "half" in self.protocol.events, "the end of the input comes", 10)
        call(self.protocol.transport.loseConnection)
        assert read_all(self.peer) == b""


STEPS = ["send", "write", "drain", "move", "move_twice", "move_amid", "pause", "resume"]
SIZES = st.one_of(st.integers(1, 100), st.sampled_from([65536, 300_000, 1_500_000]))


@pytest.mark.parametrize("kind", NETWORKS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), SIZES), max_size=25))
def test_any_move_at_any_place_of_both_streams_changes_nothing_of_them(kind: str, steps: list[tuple[str, int]]) -> None:
    network: Any = TwistedNetwork(reactor)
    if kind == "native":
        from redisproxy.net.native_network import NativeNetwork

        network = call(NativeNetwork, reactor)
    bed = Bed(network)
    try:
        with bed.connect() as peer:
            stream = Stream(bed, peer)
            for step, size in steps:
                stream.do(step, size)
            stream.finish()
        assert stream.arrived == LARGE[: stream.sent]
        assert stream.read == LARGE[: stream.written]
    finally:
        call(bed.port.stopListening)
