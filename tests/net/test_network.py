"""Both networks on real sockets: what a protocol sees is the same, whichever transports are below it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import CannotListenError
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from redisproxy.config import TcpAddress, UnixAddress, UplinkSettings
from redisproxy.figures.metrics import Metrics
from redisproxy.forwarding.gate import Gate
from redisproxy.net.sockets import set_keepalive
from redisproxy.net.tls import client_tls
from redisproxy.uplink import UplinkConnection, UplinkContext
from redisproxy.uplink import connection as uplink_connection
from tests.end_to_end.harness import Certificates, free_port, wait_until
from tests.net.bed import Bed, Recorder, Server, call, reactor, read_all

pytestmark = pytest.mark.usefixtures("running_reactor")


def test_what_is_sent_comes_back(bed: Bed) -> None:
    with bed.connect() as peer:
        for size in (1, 1000, 300000):
            data = bytes([size % 251]) * size
            peer.sendall(data)  # the echo has no limit: nobody has to read meanwhile
            got = b""
            while len(got) < size:
                got += peer.recv(65536)
            assert got == data
    wait_until(lambda: "lost" in bed.server.last.events or "half" in bed.server.last.events, "it notices the end", 5)


def test_paused_means_that_nothing_arrives(bed: Bed) -> None:
    bed.server.on_data = lambda protocol, data: protocol.transport.pauseProducing()
    with bed.connect() as peer:
        peer.sendall(b"one")
        wait_until(lambda: bed.server.last.data == b"one", "the first arrives", 5)
        for _ in range(3):
            peer.sendall(b"x" * 10)
        call(lambda: None)
        seen = len(bed.server.last.data)
        assert seen <= 33
        bed.server.last.on_data = lambda protocol, data: None
        call(bed.server.last.transport.resumeProducing)
        wait_until(lambda: len(bed.server.last.data) == 33, "the rest arrives", 5)


def test_a_slow_reader_pauses_the_producer_and_gets_everything(bed: Bed) -> None:
    with bed.connect() as peer:
        peer.sendall(b"x")
        protocol = bed.server.last
        wait_until(lambda: protocol.data == b"x", "it is there", 5)
        assert peer.recv(1) == b"x"
        call(protocol.transport.registerProducer, protocol, True)
        for _ in range(40):
            call(protocol.transport.write, b"y" * 262144)
        wait_until(lambda: "pause" in protocol.events, "the producer is paused", 5)
        left = 40 * 262144
        while left:
            left -= len(peer.recv(min(left, 1 << 20)))
        wait_until(lambda: "resume" in protocol.events, "the producer is resumed", 5)
        call(protocol.transport.unregisterProducer)


def test_close_lets_everything_out_first(bed: Bed) -> None:
    def answer(protocol: Recorder, data: bytes) -> None:
        protocol.transport.write(b"z" * 5_000_000)
        protocol.transport.loseConnection()

    bed.server.on_data = answer
    with bed.connect() as peer:
        peer.sendall(b"go")
        assert len(read_all(peer)) == 5_000_000
    wait_until(lambda: bed.server.last.events.count("lost") == 1, "it is closed", 5)


def test_abort_closes_at_once_and_tells_once(bed: Bed) -> None:
    bed.server.on_data = lambda protocol, data: protocol.transport.abortConnection()
    with bed.connect() as peer:
        peer.sendall(b"go")
        assert read_all(peer) == b""
    wait_until(lambda: bed.server.last.events.count("lost") == 1, "it is closed", 5)


def test_a_reset_by_the_peer_is_a_loss(bed: Bed) -> None:
    peer = bed.connect()
    peer.sendall(b"x")
    wait_until(lambda: bed.server.last.data == b"x", "it is there", 5)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    wait_until(lambda: bed.server.last.events.count("lost") == 1, "it is lost", 5)


def test_a_protocol_that_raises_costs_its_connection_only(bed: Bed) -> None:
    def fail(protocol: Recorder, data: bytes) -> None:
        raise RuntimeError("planted")

    errors: list[LogEvent] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        if event.get("log_failure") is not None:
            errors.append(event)

    globalLogPublisher.addObserver(observe)
    try:
        with bed.connect() as good:
            good.sendall(b"a")
            assert good.recv(1) == b"a"
            bed.server.on_data = fail
            with bed.connect() as bad:
                bad.sendall(b"b")
                assert read_all(bad) == b""
            good.sendall(b"c")
            assert good.recv(1) == b"c"
    finally:
        globalLogPublisher.removeObserver(observe)
    # Twisted's own transports log such an error through its older log, which needs no observer of ours.
    assert errors or bed.network.name == "twisted"


def test_closing_another_connection_from_within_is_safe(bed: Bed) -> None:
    with bed.connect() as one, bed.connect() as two:
        one.sendall(b"1")
        two.sendall(b"2")
        assert one.recv(1) == b"1" and two.recv(1) == b"2"
        first, second = bed.server.accepted
        first.on_data = lambda protocol, data: second.transport.abortConnection()
        second.on_data = lambda protocol, data: first.transport.abortConnection()
        for peer in (one, two):
            with contextlib.suppress(OSError):
                peer.sendall(b"x")
        wait_until(lambda: "lost" in first.events or "lost" in second.events, "one is closed", 5)


def test_half_close_on_plain_connections(network: Any) -> None:
    bed = Bed(network)
    with bed.connect() as peer:
        peer.sendall(b"ping")
        peer.shutdown(socket.SHUT_WR)
        protocol = bed.server.last
        wait_until(lambda: "half" in protocol.events, "it is told of the half-close", 5)
        assert "lost" not in protocol.events
        call(protocol.transport.write, b"pong")
        call(protocol.transport.loseConnection)
        assert read_all(peer) == b"pingpong"
    wait_until(lambda: "lost" in protocol.events, "it is closed", 5)
    call(bed.port.stopListening)


def test_addresses_and_options(bed: Bed) -> None:
    with bed.connect() as peer:
        peer.sendall(b"x")
        assert peer.recv(1) == b"x"
        transport = bed.server.last.transport
        assert (transport.getPeer().host, transport.getPeer().port) == peer.getsockname()
        assert transport.getHost().port == bed.address.port
        call(set_keepalive, transport, 33, 5, 2)


def test_options_are_set_on_the_socket_itself_and_leave_none_behind(bed: Bed) -> None:
    with bed.connect() as peer:
        peer.sendall(b"x")
        assert peer.recv(1) == b"x"
        transport = bed.server.last.transport
        with warnings.catch_warnings(record=True) as left:
            warnings.simplefilter("always", ResourceWarning)
            call(set_keepalive, transport, 33, 5, 2)
        own = f"laddr=('127.0.0.1', {bed.address.port})"
        assert not [each for each in left if own in str(each.message)], "others' garbage may be collected now"
        with call(socket.fromfd, call(transport.fileno), socket.AF_INET, socket.SOCK_STREAM) as same:
            assert same.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 33
        peer.sendall(b"y")
        assert peer.recv(1) == b"y"


def test_small_writes_are_not_delayed_on_either_side(bed: Bed) -> None:
    with bed.connect() as peer:
        peer.sendall(b"x")
        assert peer.recv(1) == b"x"
        assert call(bed.server.last.transport.getTcpNoDelay)
    client = call(bed.network.connect, TcpAddress("localhost", bed.address.port), Recorder, bed.client_tls(), 5.0)
    assert call(client.transport.getTcpNoDelay)
    call(client.transport.loseConnection)
    wait_until(lambda: "lost" in client.events, "it is closed", 5)


class Uplinks:
    """What an uplink connection belongs to, reduced to what it needs here."""

    def __init__(self, network: Any) -> None:
        self.gate = Gate(reactor)
        self.context = UplinkContext(clock=reactor, gate=self.gate, metrics=Metrics(), end_of_turn=network.end_of_turn)
        self.lost = 0

    def connection_made(self, connection: UplinkConnection) -> None:
        connection.logged_in(None)

    def connection_lost(self, connection: UplinkConnection, reason: Failure) -> None:
        self.lost += 1


class Answered:
    """A sink that does something with each reply."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.got = b""
        self._then = then

    def reply(self, data: bytes, done: int) -> None:
        self.got += data
        self._then()

    def lost(self) -> None:
        self.got += b"lost"


def test_a_connection_that_is_retired_by_one_of_its_last_replies_closes(bed: Bed) -> None:
    bed.server.on_data = lambda protocol, data: protocol.transport.write(b"+a\r\n+b\r\n")
    owner: Any = Uplinks(bed.network)
    tls = bed.client_tls()
    address = TcpAddress("localhost", bed.address.port)
    connection = call(bed.network.connect, address, lambda: UplinkConnection(owner, 0, 2), tls, 5.0)
    sinks = [Answered(connection.retire), Answered()]

    def ask() -> None:
        for sink in sinks:
            owner.gate.admit(1)
            connection.submit(sink, b"PING\r\n", 1)

    call(ask)
    wait_until(lambda: owner.lost == 1, "the connection is closed", 5)
    assert [sink.got for sink in sinks] == [b"+a\r\n", b"+b\r\n"] and owner.gate.in_flight == 0


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_an_uplink_that_breaks_the_protocol_costs_its_connection_and_what_is_in_flight(bed: Bed, closed: bool) -> None:
    bed.server.on_data = lambda protocol, data: protocol.transport.write(b"+a\r\n?\r\n")
    owner: Any = Uplinks(bed.network)
    address = TcpAddress("localhost", bed.address.port)
    connection = call(bed.network.connect, address, lambda: UplinkConnection(owner, 0, 2), bed.client_tls(), 5.0)
    sinks = [Answered(), Answered()]

    def ask() -> None:
        for sink in sinks:
            owner.gate.admit(1)
            connection.submit(sink, b"PING\r\n", 1)
        if closed:
            owner.gate.close("test")

    call(ask)
    wait_until(lambda: owner.lost == 1, "the connection is closed", 5)
    assert [sink.got for sink in sinks] == [b"+a\r\n", b"lost"] and owner.gate.in_flight == 0


def test_closing_a_connection_to_a_server_that_hangs_takes_no_longer_than_its_deadline(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink_connection, "CLOSE_DEADLINE_S", 0.3)
    owner: Any = Uplinks(bed.network)
    address = TcpAddress("localhost", bed.address.port)
    connection = call(bed.network.connect, address, lambda: UplinkConnection(owner, 0, 2), bed.client_tls(), 5.0)
    call(bed.server.last.transport.pauseProducing)
    call(connection.close)
    wait_until(lambda: owner.lost == 1, "the connection is closed", 5)
    call(bed.server.last.transport.abortConnection)


def test_a_busy_port_is_told_at_once(network: Any) -> None:
    bed = Bed(network)
    with pytest.raises(CannotListenError):
        call(network.listen, bed.address, Server(), None, 5)
    call(bed.port.stopListening)


def test_unix_sockets(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    server = Server()
    port = call(network.listen, UnixAddress(str(path)), server, None, 5)
    with pytest.raises(CannotListenError):
        call(network.listen, UnixAddress(str(path)), Server(), None, 5)
    client = call(network.connect, UnixAddress(str(path)), Recorder, None, 5.0)
    call(client.transport.write, b"hello")
    wait_until(lambda: client.data == b"hello", "the echo comes", 5)
    call(client.transport.loseConnection)
    call(port.stopListening)
    assert not path.exists()
    path.write_text("precious")
    with pytest.raises(CannotListenError):
        call(network.listen, UnixAddress(str(path)), Server(), None, 5)
    assert path.read_text() == "precious"


def test_a_unix_socket_whose_backlog_is_full_holds_nobody_up(network: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as hung, socket.socket(socket.AF_UNIX) as first:
        hung.bind(path)
        hung.listen(0)
        first.connect(path)
        with pytest.raises(CannotListenError, match="Address already in use"):
            call(network.listen, UnixAddress(path), Server(), None, 5)


def test_connecting_by_name_and_being_refused(network: Any) -> None:
    bed = Bed(network)
    client = call(network.connect, TcpAddress("localhost", bed.address.port), Recorder, None, 5.0)
    call(client.transport.write, b"hi")
    wait_until(lambda: client.data == b"hi", "the echo comes", 5)
    call(client.transport.abortConnection)
    call(bed.port.stopListening)
    with pytest.raises(Exception, match="refused"):
        call(network.connect, TcpAddress("127.0.0.1", free_port()), Recorder, None, 5.0)


def test_calls_at_the_end_of_a_turn_run_once(network: Any) -> None:
    ran: list[int] = []

    def once() -> None:
        ran.append(1)

    def ask() -> None:
        for _ in range(3):
            network.end_of_turn(once)

    call(ask)
    wait_until(lambda: ran, "it ran", 5)
    assert ran == [1]


class TestTLS:
    def uplink(self, certificates: Certificates, **more: Any) -> UplinkSettings:
        return UplinkSettings(addr="localhost:1", tls=True, cacertfile=certificates.ca, **more)

    def test_a_client_verifies_and_talks(self, network: Any, certificates: Certificates) -> None:
        bed = Bed(network, certificates)
        creator = client_tls(self.uplink(certificates), "localhost")
        client = call(network.connect, bed.address, Recorder, creator, 5.0)
        data = b"d" * 1_000_000
        call(client.transport.write, data)
        wait_until(lambda: len(client.data) == len(data), "the echo comes", 10)
        call(client.transport.loseConnection)
        wait_until(lambda: "lost" in bed.server.last.events, "the end comes", 5)
        call(bed.port.stopListening)

    def test_a_wrong_name_or_ca_is_an_error(self, network: Any, certificates: Certificates, tmp_path: Path) -> None:
        bed = Bed(network, certificates)
        other = Certificates(tmp_path / "other")
        for creator in (
            client_tls(self.uplink(certificates), "elsewhere.test"),
            client_tls(self.uplink(other), "localhost"),
        ):
            made: list[Recorder] = []

            def make(made: list[Recorder] = made) -> Recorder:
                made.append(Recorder())
                return made[-1]

            with pytest.raises(Exception, match=r"(?i)verif|certificate"):
                call(network.connect, bed.address, make, creator, 5.0)
            assert all("made" not in each.events for each in made)
        call(bed.port.stopListening)

    def test_garbage_instead_of_a_handshake_is_closed(self, network: Any, certificates: Certificates) -> None:
        bed = Bed(network, certificates)
        with socket.create_connection((bed.address.host, bed.address.port), 10) as peer:
            peer.sendall(b"PING\r\n" * 100)
            read_all(peer)
        wait_until(lambda: "lost" in bed.server.last.events, "it is closed", 5)
        assert bed.server.last.data == b""
        call(bed.port.stopListening)

    @pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "the beginning"])
    def test_a_handshake_that_takes_too_long_is_ended(
        self, network: Any, certificates: Certificates, sent: bytes
    ) -> None:
        bed = Bed(network, certificates, handshake_timeout_s=0.3)
        with bed.connect() as quick, socket.create_connection((bed.address.host, bed.address.port), 5) as slow:
            slow.sendall(sent)
            assert read_all(slow) == b""
            wait_until(lambda: "lost" in bed.server.last.events, "its protocol is told", 5)
            quick.sendall(b"still here")
            assert quick.recv(100) == b"still here"
        call(bed.port.stopListening)

    def test_a_handshake_byte_by_byte(self, network: Any, certificates: Certificates) -> None:
        bed = Bed(network, certificates)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=certificates.ca)
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with socket.create_connection((bed.address.host, bed.address.port), 10) as peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def exchange(step: Callable[[], Any]) -> Any:
                while True:
                    try:
                        result = step()
                    except ssl.SSLWantReadError:
                        result = None
                    for byte in outgoing.read():
                        peer.sendall(bytes([byte]))
                    if result is not None:
                        return result
                    incoming.write(peer.recv(65536))

            def shake() -> bool:
                tls.do_handshake()
                return True

            exchange(shake)
            exchange(lambda: tls.write(b"hello"))
            assert exchange(lambda: tls.read(100)) == b"hello"
        call(bed.port.stopListening)
